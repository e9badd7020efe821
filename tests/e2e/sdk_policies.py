"""Uses the official OpenAI SDK against a gateway whose plan has rules: URL and key
are arguments."""

import sys
import time

import openai

url, key = sys.argv[1:]
client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


def ask(model="gpt-4o", task=None, max_tokens=20, **more):
    headers = {"x-weir-task": task} if task else {}
    messages = [{"role": "user", "content": "hello"}]
    return client.chat.completions.with_raw_response.create(
        model=model, messages=messages, max_tokens=max_tokens, extra_headers=headers, **more
    )


def told(answer, *names):
    return ", ".join(f"{name}={answer.headers.get(name)}" for name in names)


answer = ask(task="warned")
print(f"warn: {answer.status_code} {told(answer, 'x-weir-warning')}")

answer = ask(task="clamped", max_tokens=500)
print(f"clamp: {answer.parse().usage.completion_tokens} {told(answer, 'x-weir-clamped')}")

answer = ask(task="downgraded")
print(f"downgrade: {answer.parse().model} {told(answer, 'x-weir-model', 'x-weir-downgraded-from')}")

start = time.monotonic()
answer = ask(task="throttled")
waited = time.monotonic() - start
print(f"throttle: {answer.status_code} {'ok' if 1.5 < waited < 10 else waited}")

answer = ask(task="routed")
print(f"route: {answer.status_code} {told(answer, 'x-went-to')}")

answer = ask(model="auto", task="classify")
print(f"virtual: {answer.parse().model} {told(answer, 'x-weir-model')}")

try:
    ask(task="blocked")
except openai.PermissionDeniedError as error:
    print(f"block: PermissionDeniedError {error.status_code} {error.code} {error.body['message']}")

try:
    ask(task="approved")
except openai.PermissionDeniedError as error:
    id = error.response.headers["x-weir-approval"]
    print(f"approval: PermissionDeniedError {error.code} {id.startswith('apr_')} {id in str(error)}")

try:
    ask(logit_bias={"1": 1})
except openai.BadRequestError as error:
    print(f"guardrail: BadRequestError {error.status_code} {error.param}")

text = ""
for chunk in client.chat.completions.create(
    model="gpt-4o",
    messages=[{"role": "user", "content": "hello"}],
    stream=True,
    extra_headers={"x-weir-task": "downgraded"},
):
    text += "".join(choice.delta.content or "" for choice in chunk.choices)
print(f"downgraded stream:{text}")

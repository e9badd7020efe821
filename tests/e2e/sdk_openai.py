"""Uses the official OpenAI SDK against a gateway: URL and key are arguments.

Calls to `gpt-4o-mini` are limited to three in six seconds.
"""

import sys
import time

import openai

url, key = sys.argv[1:]
client = openai.OpenAI(base_url=f"{url}/v1", api_key=key)


def ask(client=client, model="gpt-4o", **more):
    messages = [{"role": "user", "content": "hello"}]
    return client.chat.completions.create(model=model, messages=messages, **more)


answer = ask()
print(f"chat:{answer.choices[0].message.content}; {answer.usage.total_tokens} tokens")

text, usage = "", None
for chunk in ask(stream=True, stream_options={"include_usage": True}):
    text += "".join(choice.delta.content or "" for choice in chunk.choices)
    usage = chunk.usage or usage
print(f"chat streamed:{text}; {usage.total_tokens} tokens")

# Of what weir asks for itself the SDK sees nothing.
chunks = list(ask(stream=True))
text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
print(f"chat streamed without usage:{text}; {sum(c.usage is not None for c in chunks)} usages")

response = client.responses.create(model="gpt-4o", instructions="be brief", input="hello you")
print(f"response:{response.output_text}; {response.usage.total_tokens} tokens")

with client.responses.stream(model="gpt-4o", input="hello you", max_output_tokens=3) as stream:
    text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
    response = stream.get_final_response()
print(f"response streamed:{text}; {response.output_text == text}; {response.usage.total_tokens} tokens")

counted = client.responses.input_tokens.count(model="gpt-4o", input="hello you")
print(f"counted: {counted.input_tokens} tokens")

answer = client.embeddings.create(model="text-embedding-3-small", input=["one two", "three"])
print(f"embeddings: {[item.embedding for item in answer.data]}; {answer.usage.total_tokens} tokens")

# The limit's fourth call is refused, and the SDK waits as long as it is told
# and succeeds by itself.
for _ in range(3):
    ask(model="gpt-4o-mini")
start = time.monotonic()
answer = ask(model="gpt-4o-mini")
waited = time.monotonic() - start
print(f"waited: {'ok' if answer.choices and 0.3 < waited < 8 else waited}")

try:
    impatient = client.with_options(max_retries=0)
    for _ in range(4):
        ask(impatient, model="gpt-4o-mini")
except openai.RateLimitError as error:
    print(f"not waited: RateLimitError {error.status_code} {error.type} {error.code}")

try:
    ask(openai.OpenAI(base_url=f"{url}/v1", api_key="wrong"))
except openai.AuthenticationError as error:
    print(f"wrong key: AuthenticationError {error.status_code} {error.code}")

try:
    ask(model="gpt-none")
except openai.NotFoundError as error:
    print(f"unknown model: NotFoundError {error.status_code} {error.code} {error.param}")

try:
    ask(max_tokens=-1)
except openai.BadRequestError as error:
    print(f"bad parameter: BadRequestError {error.status_code} {error.param}")

# The provider sends two tokens and waits for ever: the caller leaves.
never = {"x-fake-gate": "never", "x-fake-gate-after": "2"}
with ask(stream=True, extra_headers=never) as stream:
    text = "".join(next(stream).choices[0].delta.content or "" for _ in range(2))
print(f"chat left:{text}")

stream = client.responses.create(model="gpt-4o", input="hello", stream=True, extra_headers=never)
text = ""
for event in stream:
    text += event.delta if event.type == "response.output_text.delta" else ""
    if text.count("apple") == 2:
        break
stream.close()
print(f"response left:{text}")

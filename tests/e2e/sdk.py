"""Uses the official OpenAI SDK against a gateway: URL and key are arguments."""

import sys
import time

import openai

url, key = sys.argv[1:]
client = openai.OpenAI(base_url=url, api_key=key)
messages = [{"role": "user", "content": "hello"}]


def ask(client, **more):
    return client.chat.completions.create(model="gpt-4o", messages=messages, **more)


answer = ask(client)
print(f"plain:{answer.choices[0].message.content}; {answer.usage.total_tokens} tokens")

text = "".join(chunk.choices[0].delta.content or "" for chunk in ask(client, stream=True))
print(f"stream:{text}")

# The limit is three calls: the third passes, the fourth is refused, and the
# SDK waits as long as it is told and succeeds by itself.
ask(client)
start = time.monotonic()
answer = ask(client)
waited = time.monotonic() - start
print(f"waited: {'ok' if answer.choices and 0.3 < waited < 8 else 'no'} ({waited:.2f} s)")

try:
    ask(openai.OpenAI(base_url=url, api_key="wrong"))
except openai.AuthenticationError as error:
    print(f"wrong key: AuthenticationError {error.code}")

try:
    impatient = client.with_options(max_retries=0)
    for _ in range(4):
        ask(impatient)
except openai.RateLimitError as error:
    print(f"not waited: RateLimitError {error.type}")

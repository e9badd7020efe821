"""Uses Anthropic's official SDK against a gateway: URL and key are arguments.

Calls to `claude-haiku-4-5` are limited to three in six seconds.
"""

import sys
import time

import anthropic

url, key = sys.argv[1:]
client = anthropic.Anthropic(base_url=url, api_key=key)
hello = [{"role": "user", "content": "hello"}]


def ask(client=client, model="claude-sonnet-4-5", max_tokens=50, **more):
    more = {"messages": hello, **more}
    return client.messages.create(model=model, max_tokens=max_tokens, **more)


def tokens(usage):
    return f"{usage.input_tokens} + {usage.output_tokens} tokens"


answer = ask()
print(f"message:{answer.content[0].text}; {answer.stop_reason}; {tokens(answer.usage)}")

blocks = [{"role": "user", "content": [{"type": "text", "text": "hello out there"}]}]
answer = ask(max_tokens=3, system="be brief", messages=blocks)
print(f"message of blocks:{answer.content[0].text}; {tokens(answer.usage)}")

with client.messages.stream(model="claude-sonnet-4-5", max_tokens=50, messages=hello) as stream:
    text = "".join(stream.text_stream)
    answer = stream.get_final_message()
print(f"message streamed:{text}; {answer.content[0].text == text}; {tokens(answer.usage)}")

kinds = [event.type for event in ask(stream=True, max_tokens=2)]
print(f"events: {' '.join(kinds)}")

counted = client.messages.count_tokens(model="claude-sonnet-4-5", messages=hello)
print(f"counted: {counted.input_tokens} tokens")

# The limit's fourth call is refused, and the SDK waits as long as it is told
# and succeeds by itself.
for _ in range(3):
    ask(model="claude-haiku-4-5")
start = time.monotonic()
answer = ask(model="claude-haiku-4-5")
waited = time.monotonic() - start
print(f"waited: {'ok' if answer.content and 0.3 < waited < 8 else waited}")

try:
    impatient = client.with_options(max_retries=0)
    for _ in range(4):
        ask(impatient, model="claude-haiku-4-5")
except anthropic.RateLimitError as error:
    print(f"not waited: RateLimitError {error.status_code} {error.type}")

try:
    ask(anthropic.Anthropic(base_url=url, api_key="wrong"))
except anthropic.AuthenticationError as error:
    print(f"wrong key: AuthenticationError {error.status_code} {error.type}")

try:
    ask(model="claude-none")
except anthropic.NotFoundError as error:
    print(f"unknown model: NotFoundError {error.status_code} {error.type}")

try:
    ask(max_tokens=-1)
except anthropic.BadRequestError as error:
    named = "max_tokens" in error.message
    print(f"bad parameter: BadRequestError {error.status_code} {error.type} {named}")

# The provider sends two tokens and waits for ever: the caller leaves.
never = {"x-fake-gate": "never", "x-fake-gate-after": "2"}
text = ""
with client.messages.stream(
    model="claude-sonnet-4-5", max_tokens=50, messages=hello, extra_headers=never
) as stream:
    for piece in stream.text_stream:
        text += piece
        if text.count("apple") == 2:
            break
print(f"message left:{text}")

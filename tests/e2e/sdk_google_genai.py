"""Uses Google's official SDK against a gateway: URL and key are arguments.

Calls to `gemini-2.5-flash` are limited to three in six seconds.
"""

import sys
import time

from google import genai
from google.genai import errors, types

url, key = sys.argv[1:]


def at_gateway(key, **more):
    options = types.HttpOptions(base_url=url, **more)
    return genai.Client(api_key=key, http_options=options)


client = at_gateway(key)


def ask(client=client, model="gemini-2.5-pro", **config):
    config = types.GenerateContentConfig(**config)
    return client.models.generate_content(model=model, contents="hello", config=config)


def stream(**config):
    config = types.GenerateContentConfig(**config)
    return client.models.generate_content_stream(
        model="gemini-2.5-pro", contents="hello", config=config
    )


def tokens(usage):
    return f"{usage.prompt_token_count} + {usage.candidates_token_count} tokens"


answer = ask()
print(f"content:{answer.text}; {answer.model_version}; {tokens(answer.usage_metadata)}")

answer = ask(system_instruction="be brief", max_output_tokens=3)
print(f"content with instruction:{answer.text}; {tokens(answer.usage_metadata)}")

chunks = list(stream())
text = "".join(chunk.text or "" for chunk in chunks)
print(f"content streamed:{text}; {len(chunks)} chunks; {tokens(chunks[-1].usage_metadata)}")

answer = client.models.embed_content(model="gemini-embedding-001", contents=["one two", "three"])
values = [embedding.values for embedding in answer.embeddings]
print(f"embeddings: {values}")

counted = client.models.count_tokens(model="gemini-2.5-pro", contents="hello you")
print(f"counted: {counted.total_tokens} tokens")

# The limit's fourth call is refused. Told nothing else, the SDK raises, with
# the time to wait in the error's details.
for _ in range(3):
    ask(model="gemini-2.5-flash")
try:
    ask(model="gemini-2.5-flash")
except errors.ClientError as error:
    details = {d["@type"].rsplit(".")[-1]: d for d in error.details["error"]["details"]}
    delay = details["RetryInfo"]["retryDelay"]
    quota = details["QuotaFailure"]["violations"][0]["quotaId"]
    print(f"not waited: ClientError {error.code} {error.status}; {quota}; {delay in ('1s', '2s')}")

# Told to retry, it waits by a backoff of its own and succeeds by itself.
patient = at_gateway(key, retry_options=types.HttpRetryOptions(attempts=6, initial_delay=0.5, jitter=0.1))
start = time.monotonic()
answer = ask(patient, model="gemini-2.5-flash")
waited = time.monotonic() - start
print(f"waited: {'ok' if answer.text and 0.3 < waited < 12 else waited}")

try:
    ask(at_gateway("wrong"))
except errors.ClientError as error:
    reason = error.details["error"]["details"][0]["reason"]
    print(f"wrong key: ClientError {error.code} {error.status} {reason}")

try:
    ask(model="gemini-none")
except errors.ClientError as error:
    print(f"unknown model: ClientError {error.code} {error.status}")

try:
    ask(max_output_tokens=-1)
except errors.ClientError as error:
    field = error.details["error"]["details"][0]["fieldViolations"][0]["field"]
    print(f"bad parameter: ClientError {error.code} {error.status} {field}")

# The provider sends two tokens and waits for ever: the caller leaves.
never = {"x-fake-gate": "never", "x-fake-gate-after": "2"}
text = ""
chunks = stream(http_options=types.HttpOptions(headers=never))
for chunk in chunks:
    text += chunk.text or ""
    if text.count("apple") == 2:
        break
chunks.close()
print(f"content left:{text}")

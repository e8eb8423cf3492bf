"""The Python SDK against the strict server: argv[1] is its base URL.

One line a check: ok<TAB>what, or FAIL<TAB>what<TAB>why. Exit code 1 if any failed.
"""

import sys

import anthropic

MODEL = "claude-sonnet-5-5"
PROMPT = {"role": "user", "content": "Say hello by bash."}
BASH = {
    "name": "bash",
    "description": "Runs a command line.",
    "input_schema": {
        "type": "object",
        "properties": {"command": {"type": "string"}},
        "required": ["command"],
    },
}

client = anthropic.Anthropic(base_url=sys.argv[1], api_key="a-key-for-the-test", max_retries=0, timeout=20)
failures = 0


def check(what, run):
    """Runs one check; gives back what it returned, or None."""
    global failures
    try:
        result = run()
        print(f"ok\t{what}", flush=True)
        return result
    except Exception as error:  # any kind of failure is a row of the table
        failures += 1
        why = " ".join(f"{type(error).__name__}: {error}".split())
        print(f"FAIL\t{what}\t{why[:300]}", flush=True)
        return None


def same(found, wanted):
    if found != wanted:
        raise AssertionError(f"{found!r} where {wanted!r} belongs")


def ask(messages, tools=(BASH,)):
    return client.messages.create(model=MODEL, max_tokens=1024, tools=list(tools), messages=messages)


def calls(message):
    return [block for block in message.content if block.type == "tool_use"]


def text(message):
    return "".join(block.text for block in message.content if block.type == "text")


def is_tool_turn(message):
    same(message.role, "assistant")
    same(message.stop_reason, "tool_use")
    same(text(message), "I will say hello.")
    same([(call.name, call.input) for call in calls(message)], [("bash", {"command": "echo hello"})])
    same(calls(message)[0].id.startswith("toolu_"), True)


def is_last_turn(message):
    same(message.stop_reason, "end_turn")
    same(calls(message), [])
    same(text(message), "Done. It said hello.")


def counts(message):
    same(message.usage.input_tokens > 0, True)
    same(message.usage.output_tokens > 0, True)


def answered(message, call_id=None):
    """The history one turn on: the assistant's words as they came, and the tool's result."""
    result = {"type": "tool_result", "tool_use_id": call_id or calls(message)[0].id, "content": "hello\n"}
    return [
        PROMPT,
        {"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in message.content]},
        {"role": "user", "content": [result]},
    ]


def refused(messages, tools=(BASH,)):
    try:
        ask(messages, tools)
    except anthropic.BadRequestError as error:
        same(error.status_code, 400)
        same(error.body["type"], "error")
        same(error.body["error"]["type"], "invalid_request_error")
        same(bool(error.body["error"]["message"]), True)
        return
    raise AssertionError("the request was taken")


def plain():
    first = check("create: a tool turn arrives", lambda: ask([PROMPT]))
    if first is None:
        return None
    check("create: text, tool_use and stop_reason", lambda: is_tool_turn(first))
    check("create: usage is counted", lambda: counts(first))
    last = check("create: the tool's result is taken", lambda: ask(answered(first)))
    if last is not None:
        check("create: the last turn ends", lambda: is_last_turn(last))
    return first


def stream(messages):
    """The final message, and the kinds of events on the way."""
    kinds, said, written = [], [], []
    with client.messages.stream(model=MODEL, max_tokens=1024, tools=[BASH], messages=messages) as events:
        for event in events:
            kinds.append(event.type)
            if event.type == "text":
                said.append(event.text)
            if event.type == "input_json":
                written.append(event.partial_json)
        final = events.get_final_message()
    same("".join(said), text(final))
    same(kinds[0], "message_start")
    same(kinds[-1], "message_stop")
    same(bool("".join(written)), bool(calls(final)))
    return final


def streamed():
    first = check("stream: a tool turn arrives in pieces", lambda: stream([PROMPT]))
    if first is None:
        return
    check("stream: text, tool_use and stop_reason", lambda: is_tool_turn(first))
    check("stream: usage is counted", lambda: counts(first))
    last = check("stream: the tool's result is taken", lambda: stream(answered(first)))
    if last is not None:
        check("stream: the last turn ends", lambda: is_last_turn(last))


def broken(first):
    history = answered(first)
    told = {"role": "user", "content": "And now?"}
    check("refused: a call without its result", lambda: refused([*history[:2], told]))
    check("refused: a result for no call", lambda: refused(answered(first, "toolu_of_nobody")))
    check("refused: a result before its call", lambda: refused([history[2]]))
    words_first = {"role": "user", "content": [{"type": "text", "text": "Here:"}, *history[2]["content"]]}
    check("refused: words before the results", lambda: refused([*history[:2], words_first]))
    empty = {"role": "user", "content": [{"type": "text", "text": ""}]}
    check("refused: an empty text block", lambda: refused([empty]))
    unnamed = {**BASH, "name": "no such name"}
    check("refused: a tool's name with spaces", lambda: refused([PROMPT], [unnamed]))


print(f"anthropic {anthropic.__version__}, Python {sys.version.split()[0]}", flush=True)
turn = plain()
streamed()
if turn is not None:
    broken(turn)
sys.exit(1 if failures else 0)

"""Instruction data written by a Chat: one method a file, its prompts as readable text in `prompts/`.

A prompt is one or more messages, each under `[system]` or `[user]`; `$name` stands for a value. Every method keeps what
it makes with the span of the document that it came from where there is one, counts what it leaves out with its reason,
and sends no request twice (`danlu.data.requests`).

What a model writes can be wrong, one-sided, and not free to train on: the licence that the settings state goes with
the artifact, and data.judge, data.diversity and data.decontaminate come after, people's eyes above all.
"""

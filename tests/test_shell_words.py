"""Words of commands that Yoi prints: a shell takes each as what it stands for."""

import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from yoi.display import printable, shell_argument, shell_word

HOSTILE = [
    "", "a b", "it's", '"', "$(touch pwned)", "`id`", "a;b", "a|b", "~", "*", "!x", "=ls", "#",
    "\\", "a\nb", "a\r\n", "\t", "\x1b[2J", "\x9b", "\u202e", "\u2028", "\u3164", "é", "日本 語",
    "\U0001f600", "\udcff\udc80", "..", "-x", "--help", "{a,b}", "%1", "x'\n\\'$(id)",
]  # fmt: skip


def texts():
    rng = random.Random(7)
    letters = [chr(code) for code in range(1, 0x180)] + list("'\"$`\\!\u202e\u2028\udc80")
    return HOSTILE + ["".join(rng.choices(letters, k=rng.randint(0, 12))) for _ in range(700)]


@pytest.mark.parametrize("shell", list(filter(shutil.which, ("bash", "zsh", "ksh"))))
def test_a_shell_reads_each_word_back(shell):
    words = texts()
    command = "printf '%s\\0' " + " ".join(map(shell_word, words))
    ran = subprocess.run([shell, "-s"], input=os.fsencode(command), capture_output=True, check=True)
    assert [os.fsdecode(word) for word in ran.stdout.split(b"\0")[:-1]] == words


def test_what_is_printed_is_what_is_pasted():
    for text in texts():
        word = shell_word(text)
        assert printable(word, len(word) + 1) == word


def test_ordinary_names_stand_as_they_are():
    for text in ("slack", "project:relay", "./a/b-1.yoi-plugin", "a@b", "1.0+x", "KEY=VALUE"):
        assert shell_word(text) == text


def test_what_would_be_an_option_is_none():
    assert shell_word(Path("-x y")) == "'./-x y'"
    assert shell_word(Path("a/-x")) == "a/-x"
    assert shell_argument("-x") == "-- -x"
    assert shell_argument("a b") == "'a b'"

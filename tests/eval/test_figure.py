"""Plots keep text as text, the same bytes each time, without a word about missing glyphs."""

import warnings

from danlu.eval.figure import new, save


def test_chinese_labels_are_text_and_have_their_room(tmp_path):
    def made(name, labels):
        figure = new(4, 2)
        axes = figure.add_subplot()
        axes.barh(range(len(labels)), [1.0] * len(labels))
        axes.set_yticks(range(len(labels)), labels)
        save(figure, tmp_path / name)
        return (tmp_path / name).read_text(encoding="utf-8"), axes.get_position().x0

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        short, left = made("a.svg", ["甲", "<b>&"])
        long, right = made("b.svg", ["臺北市政府社會局福利科", "乙"])
    assert ">甲<" in short
    assert "&lt;b&gt;&amp;" in short
    assert "Noto Sans TC" in short
    assert right - left > 0.2
    assert long == made("b.svg", ["臺北市政府社會局福利科", "乙"])[0]

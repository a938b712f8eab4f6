"""`extend --certify`: the finished checkpoint is measured, and its card says how far it reaches."""

from __future__ import annotations

from ropewalk.result import EvaluationResult
from ropewalk.run.api import extend
from ropewalk.run.certify import EVALUATION, certify
from ropewalk.run.extension import Silent

SUITE = """
about = "Small."
lengths = "doublings"
tasks = ["paired"]
[sizes]
windows_per_document = 1
[certificate]
tasks = ["passkey"]
looks = [4, 8]
alphas = [0.03, 0.02]
"""


class Heard(Silent):
    def __init__(self):
        self.stages = []

    def stage(self, text):
        self.stages.append(text)


def test_a_certificate_is_measured_once_kept_and_shown_in_the_card(tmp_path):
    (tmp_path / "small.toml").write_text(SUITE)
    texts = [tmp_path / f"{name}.txt" for name in "ab"]
    for text in texts:
        text.write_text("\n".join(f"def {text.stem}_{i}(): return {i}" for i in range(300)))
    folder = extend("builtin", "yarn", 512, output=tmp_path / "long")
    given, heard = [str(text) for text in texts], Heard()
    found = certify(folder, given, heard, suite=str(tmp_path / "small.toml"))
    assert found.certificate is not None
    assert found.certificate.lengths == (256, 512)
    kept = folder / "ropewalk" / EVALUATION / "result.json"
    assert EvaluationResult.model_validate_json(kept.read_text()) == found
    headline = str(found.certificate)
    assert f"{headline[0].upper()}{headline[1:]}" in (folder / "README.md").read_text()
    assert certify(folder, given, heard) == found
    assert heard.stages[-1] == f"certificate of '{folder}': measured before"

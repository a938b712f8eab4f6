"""The models of a bridge: the papers' methods with their controls, on a pretrained model."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from ropewalk.cells.cell import Cell
from ropewalk.cells.exams import CertificateExam, EvaluationExam
from ropewalk.cells.runs import recipe, seeds
from ropewalk.evals.plan import EvaluationPlan
from ropewalk.reproduce.bridge.texts import Stretches, TrainingText

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ropewalk.cells.exams import Exam
    from ropewalk.reproduce.bridge.order import Frame
    from ropewalk.reproduce.bridge.texts import BridgeTexts
    from ropewalk.run.runfile import RunFile

TEXT, RECALL, CERTIFICATE = "text", "recall", "certificate"
SCORED = 128  # tokens
EPOCHS = 2  # of Entropy-ABF's samples
REVISED = {"name": "yarn", "ramp": "revised"}  # as CREAM's and PoSE's released code has it

# Trained on the same number of tokens: name, what tables call it, method, positions.
EQUAL_TOKENS: Mapping[str, tuple[str, dict[str, Any], str]] = {
    "linear": ("PI", {"name": "linear"}, "contiguous"),
    "none": ("direct fine-tuning", {"name": "none"}, "contiguous"),
    "yarn": ("YaRN", {"name": "yarn"}, "contiguous"),
    "linear-cream": ("CREAM, trained at the old window", {"name": "linear"}, "cream"),
    "linear-pose": ("PoSE, trained at the old window", {"name": "linear"}, "pose"),
}
ONE_SEED: Mapping[str, tuple[str, dict[str, Any], str]] = {
    "yarn-cream": ("CREAM over revised YaRN", REVISED, "cream"),
    "yarn-pose": ("PoSE over revised YaRN", REVISED, "pose"),
}
# Tuned on Entropy-ABF's samples. PI and YaRN are stretched by the whole factor, so all reach the target.
FEW_SAMPLES: Mapping[str, tuple[str, dict[str, Any]]] = {
    "abf": ("ABF", {"name": "abf"}),
    "entropy-abf": ("Entropy-ABF", {"name": "entropy-abf"}),
    "linear-samples": ("PI", {"name": "linear"}),
    "yarn-samples": ("YaRN", {"name": "yarn"}),
}


def bridge_cells(frame: Frame, texts: BridgeTexts, steps: int) -> tuple[Cell, ...]:
    """All cells, seed by seed; what matters most comes first.

    Args:
        frame: Model, lengths, sizes.
        texts: What is trained on and what is measured on.
        steps: Of the cells that are compared at equal tokens.
    """
    builder = _Builder(frame, texts, steps)
    cells = [builder.untouched()]
    for seed in seeds(frame.sizes.seeds):
        cells += [builder.equal_tokens(name, *choice, seed) for name, choice in EQUAL_TOKENS.items()]
        cells += [builder.few_samples(name, *choice, seed) for name, choice in FEW_SAMPLES.items()]
        cells.append(builder.control(seed))
    return (*cells, *(builder.equal_tokens(name, *choice, 0) for name, choice in ONE_SEED.items()))


@dataclasses.dataclass(frozen=True)
class _Builder:
    """Makes cells of one model."""

    frame: Frame
    texts: BridgeTexts
    steps: int

    def untouched(self) -> Cell:
        """The model as it is."""
        return self._cell("untouched", "untouched", None)

    def equal_tokens(self, name: str, about: str, method: dict[str, Any], positions: str, seed: int) -> Cell:
        """A model trained at the target, or at the old window with positions up to the target."""
        frame = self.frame
        window = frame.target_length if positions == "contiguous" else frame.trained_length
        run = self._run(frame.target_length, method, positions, window, seed)
        return self._cell(name, about, run)

    def control(self, seed: int) -> Cell:
        """The same tokens at the old window, nothing extended."""
        trained = self.frame.trained_length
        run = self._run(trained, {"name": "none"}, "contiguous", trained, seed)
        return self._cell("control", "the same tokens at the old window", run)

    def few_samples(self, name: str, about: str, method: dict[str, Any], seed: int) -> Cell:
        """A model tuned on Entropy-ABF's samples by its recipe."""
        frame, sizes = self.frame, self.frame.sizes
        entries = {**sizes.samples_train, "seed": seed}
        batch = int(entries.get("batch", recipe("entropy-abf-100", model=frame.model).train.batch))
        entries["steps"] = EPOCHS * (sizes.samples // batch)
        chats = self.texts.chats
        run = recipe(
            "entropy-abf-100",
            model=frame.model,
            factor=float(frame.factor),
            method=method,
            train=entries,
            data={"examples": sizes.samples, "files": [chats] if chats else None},
        )
        stretches = Stretches(self.texts.training, sizes.samples, frame.target_length, seed)
        cell = self._cell(name, f"{about}, {sizes.samples} samples, {entries['steps']} steps", run)
        return dataclasses.replace(cell, samples=None if chats else stretches)

    def _run(self, target: int, method: dict[str, Any], positions: str, window: int, seed: int) -> RunFile:
        """A run of as many tokens as every other: shorter windows, and more of them."""
        frame = self.frame
        train = recipe("bridge", model=frame.model, train=frame.sizes.train).train
        more = frame.target_length // window
        return recipe(
            "bridge",
            model=frame.model,
            factor=target / frame.trained_length,
            method=method,
            positions={"name": positions},
            train={
                **frame.sizes.train,
                "steps": self.steps,
                "batch": train.batch * more,
                "micro_batch": (train.micro_batch or 1) * more,
                "seed": seed,
            },
            data={"window": window},
        )

    def _cell(self, name: str, about: str, run: RunFile | None) -> Cell:
        exams: tuple[Exam, ...] = (self._text(), self._recall())
        certified = name in self.frame.sizes.certified and (run is None or run.train.seed == 0)
        return Cell(
            name,
            about,
            run,
            (*exams, self._certificate()) if certified else exams,
            model=self.frame.model,
            samples=None if run is None else TrainingText(self.texts.training),
            measured_in=self.frame.measured_in,
        )

    def _text(self) -> EvaluationExam:
        return EvaluationExam(TEXT, self._text_plan(self.frame.lengths), self.texts.held_out)

    def _text_plan(self, lengths: tuple[int, ...]) -> EvaluationPlan:
        windows = self.frame.sizes.windows_per_document
        scored = min(SCORED, self.frame.trained_length // 2)
        return EvaluationPlan(lengths=lengths, scored=scored, windows_per_document=windows, tasks=("paired",))

    def _recall(self) -> EvaluationExam:
        sizes = self.frame.sizes
        plan = EvaluationPlan(
            lengths=self.frame.lengths,
            scored=min(SCORED, self.frame.trained_length // 2),
            contexts=sizes.contexts,
            keys=sizes.keys,
            trials=sizes.trials,
            tasks=("key-value", "passkey"),
        )
        return EvaluationExam(RECALL, plan)

    def _certificate(self) -> CertificateExam:
        plan = self._text_plan((self.frame.trained_length, self.frame.target_length))
        return CertificateExam(
            CERTIFICATE,
            plan,
            self.texts.held_out,
            settings=self.frame.sizes.certificate,
            reference=self.frame.model,
        )

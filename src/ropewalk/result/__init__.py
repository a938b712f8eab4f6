"""Typed records of what was measured. Every number carries its unit, interval, n and protocol.

Two levels: `SampleResult` (one line each in `samples.jsonl`) and `Estimate`s gathered in an `EvaluationResult`
(`result.json`). A sample that failed has no value: it is counted as failed, never as zero.
"""

from ropewalk.result.certificate import Certificate, CertificateCell, CertificateReference, NllCheck
from ropewalk.result.choice import MethodChoice
from ropewalk.result.data import DataReport, Reason, SourceReport, SourceWindows
from ropewalk.result.entropy import EntropyComparison, EntropyResult, LayerEntropy
from ropewalk.result.evaluation import Comparison, DemoResult, EvaluationResult, Evidence
from ropewalk.result.export import ExportResult, ParityCell, ParityResult
from ropewalk.result.extendability import EarlyPoint, Extendability
from ropewalk.result.extension import ControlRecord, ExtensionResult, GateCheck, GateResult
from ropewalk.result.plan import ExtensionPlan, Geometry, MemoryPlan, RecipePlan, Suitability
from ropewalk.result.probe import Probe, ProbedMethod, ProbedPoint
from ropewalk.result.quantities import AGAINST_CUT, AGAINST_NO_SLOPE, K_MAX, Quantity, quantity_of
from ropewalk.result.ranking import ComparedControl, RankedCandidate, Ranking, RungRecord
from ropewalk.result.records import (
    FORMAT_VERSION,
    Environment,
    Estimate,
    ModelRecord,
    Record,
    SampleResult,
    find_estimate,
)
from ropewalk.result.reproduction import (
    Along,
    CellCertificate,
    CellReading,
    CellRecord,
    Effect,
    Line,
    Panel,
    RateRecord,
    Reproduction,
    State,
    Verdict,
)
from ropewalk.result.search import SearchComparison, SearchedPoint, SearchTrajectory
from ropewalk.result.watching import Measurement, WatchResult

__all__ = [
    "AGAINST_CUT",
    "AGAINST_NO_SLOPE",
    "FORMAT_VERSION",
    "K_MAX",
    "Along",
    "CellCertificate",
    "CellReading",
    "CellRecord",
    "Certificate",
    "CertificateCell",
    "CertificateReference",
    "ComparedControl",
    "Comparison",
    "ControlRecord",
    "DataReport",
    "DemoResult",
    "EarlyPoint",
    "Effect",
    "EntropyComparison",
    "EntropyResult",
    "Environment",
    "Estimate",
    "EvaluationResult",
    "Evidence",
    "ExportResult",
    "Extendability",
    "ExtensionPlan",
    "ExtensionResult",
    "GateCheck",
    "GateResult",
    "Geometry",
    "LayerEntropy",
    "Line",
    "Measurement",
    "MemoryPlan",
    "MethodChoice",
    "ModelRecord",
    "NllCheck",
    "Panel",
    "ParityCell",
    "ParityResult",
    "Probe",
    "ProbedMethod",
    "ProbedPoint",
    "Quantity",
    "RankedCandidate",
    "Ranking",
    "RateRecord",
    "Reason",
    "RecipePlan",
    "Record",
    "Reproduction",
    "RungRecord",
    "SampleResult",
    "SearchComparison",
    "SearchTrajectory",
    "SearchedPoint",
    "SourceReport",
    "SourceWindows",
    "State",
    "Suitability",
    "Verdict",
    "WatchResult",
    "find_estimate",
    "quantity_of",
]

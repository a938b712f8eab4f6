"""EleutherAI's lm-evaluation-harness (lm-eval), both ways.

Our recall tasks go out as a task folder, so that anybody's `lm_eval` asks the same questions (`documents`); its tasks
come in, measured through a model class that keeps no logits which are not scored (`model`, `evaluation`). What
the harness has and we do not want to write again (LongBench, BABILong, InfiniteBench, the short-context suite) is
delegated to it. lm-eval is an extra and imported only when something is measured.

    documents      our tasks as text, and back again as the tokens that lm-eval makes of the text
    library        whether lm-eval is there; the task folder; loading tasks by name
    model          lm-eval's model class without needless logits
    evaluation     tasks of lm-eval as samples and estimates
    short_suite    the short-context suite: two models on the same documents, and the verdict
"""

"""`python -m ropewalk.evals.harness` prints the task folder, for `lm_eval --include_path`."""

from ropewalk.evals.harness.library import task_folder

if __name__ == "__main__":
    print(task_folder())

"""Settings of all tests. Its place matters too: pytest puts the folder of this file on the import path, so that a test
of any part can say `from oracles import frequency_rules`.
"""

import signal

from hypothesis import HealthCheck, settings

# A shell starts its background jobs deaf to Ctrl-C, their children inherit that, and some tests send Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples on every machine and in every run, and no verdict that depends on how busy the machine is.
settings.register_profile(
    "ropewalk", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ropewalk")

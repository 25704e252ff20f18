"""One thread of arithmetic for all tests, and no test that depends on the time it takes.

Their networks are tiny: a second thread waits more than it computes, several times so on a busy machine. Set
before torch, XGBoost and BLAS are loaded, which read it once; a variable that is set already stays.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings

settings.register_profile("hwnas", deadline=None)
settings.load_profile("hwnas")

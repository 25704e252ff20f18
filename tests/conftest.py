"""One thread of arithmetic for all tests.

Their networks are tiny: a second thread waits more than it computes, several times so on a busy machine. Set
before torch, XGBoost and BLAS are loaded, which read it once; a variable that is set already stays.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

//! Tests on real copies, found through `MEDVLM_REAL_DATA`.

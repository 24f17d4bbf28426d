"""A stand-in for XrayGPT's package, with the signatures of MiniGPT-4, from which it descends."""

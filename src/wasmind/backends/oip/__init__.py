"""Models on servers elsewhere, by the Open Inference Protocol v2: KServe, Triton, MLServer and others."""

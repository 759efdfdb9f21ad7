"""What training costs on a CUDA device: stages of one call, each of which keeps what it finds at once."""

"""Others are told what was judged: endpoints, notices, signatures, delivery."""

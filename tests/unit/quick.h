X(core_frames)
X(tcp_frames)
X(tcp_random)

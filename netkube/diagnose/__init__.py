"""Why does this connection not work? Answers from the cluster's objects and from this machine's kernel.

``trace`` gathers facts step by step (names, Services, endpoints, the packet's way, sockets) and each step is a pure
function from facts to a ``Finding``. ``capture`` writes packets of a Pod, a Service or the Node as a pcap.
"""

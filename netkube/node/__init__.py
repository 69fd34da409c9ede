"""The kubelet of one Node: what should run here, what does run here, what to do about it.

The way of a Pod, once ``spec.nodeName`` names this Node:

    NodeAgent.sync(key)         agent.py      re-read the Pod, observe the runtime, plan, act, write the status
      plan_pod(...)             plan.py       pure: what is missing, what must end, when to look again
      Sandboxes.create(...)     sandboxes.py  address -> network namespace -> veth -> files
      container_config(...)     containers.py pure: what the runtime is asked to run
      pod_status(...)           status.py     pure: the PodStatus as the kubelet writes it

Everything that must survive the daemon is in the runtime's records: the attempt of each container (its
restartCount), its place in the back-off, exit codes, and the Pod's address.
"""

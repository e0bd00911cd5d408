"""The engine `ray`: one task a checkpoint on the machines of a Ray cluster.

`engine` runs in the process of the run and decides; `worker` runs in the processes of the cluster and reads. What they
tell each other is in `messages`.
"""

from filtercrawl.config.environment import prepare_ray

prepare_ray()

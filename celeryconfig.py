"""Celery's configuration, with the reason beside each setting.

The addresses come from the settings (REACTIONS_BROKER_URL and so on); ``reactions.core.celery_app``
joins the two. Most reasons are measured behaviour of Celery 5.7 on Redis.
"""

from kombu import Queue

# -- messages --------------------------------------------------------------------------------------

task_serializer = "json"
result_serializer = "json"
event_serializer = "json"
accept_content = ["json"]  # JSON only: a forged message can name shards, never run code (pickle)
task_ignore_result = True  # nobody reads results, so none are stored, and no backend is configured
task_compression = None  # a message is a list of shard numbers

# -- queues ----------------------------------------------------------------------------------------

# Workers take from both queues in turn, so neither blocks the other. The sweep repairs what did not
# get through `persistence`, so it must not wait there. No priorities: Redis and RabbitMQ order
# them in opposite ways.
task_queues = [Queue("persistence"), Queue("maintenance")]
task_default_queue = "maintenance"
task_routes = {"reactions.drain": {"queue": "persistence"}}
# On RabbitMQ, both are quorum queues (reactions.core.rabbitmq).
task_create_missing_queues = False  # a misspelt queue is an error, not a queue nobody consumes

# -- at least once ---------------------------------------------------------------------------------

task_acks_late = True  # a task that dies with its worker is delivered again
task_reject_on_worker_lost = True  # also when only the child process is killed
task_acks_on_failure = True  # a permanent failure becomes a dead letter, not a loop
task_acks_on_timeout = True  # as above; the sweep finds the shard again
worker_prefetch_multiplier = 1  # a wake-up waits in the queue, not in a busy worker
worker_eta_task_limit = 200  # waiting retries bypass prefetch; at most one for each shard

# -- time ------------------------------------------------------------------------------------------

# A drain stops by itself after drain_budget_s (10 s) plus one round of claims. These limits are for
# a stuck driver, or a round of millions of rows. The next drain continues where this one stopped.
task_soft_time_limit = 60
task_time_limit = 90
# Longer than the longest countdown (retry_cap_s, at most 600 s) plus the hard limit. Otherwise the
# broker would deliver a waiting retry twice. reactions.core.celery_app checks this.
visibility_timeout = 900

broker_transport_options = {
    "visibility_timeout": visibility_timeout,
    "unacked_restore_interval": 5,  # look for lost messages every 5 polls ...
    "unacked_restore_throttle": 5,  # ... and at most one worker every 5 s; the default takes 100 s
    "socket_connect_timeout": 5,
    # Far above a blocking pop (1 s); ends the wait for a frozen broker, and for a connection that a
    # firewall dropped. A worker's main process does nothing else meanwhile, twice for a dead one.
    "socket_timeout": 5,
    "socket_keepalive": True,  # detects half-open connections
    "health_check_interval": 5,  # a silent connection is replaced after this and the pop's second
}
broker_connection_retry_on_startup = True
broker_connection_max_retries = None  # reconnect whenever the broker is back
broker_heartbeat = 10  # RabbitMQ only; on Redis keepalive and health checks do this

# A publisher in the web tier uses these instead. No request waits for it, only the relay does, and
# the relay should notice a failure soon. No retry: the sweep finds a shard whose wake-up was lost.
publisher = {
    "task_publish_retry": False,
    "broker_pool_limit": 1,  # one relay thread in a process
    "broker_connection_timeout": 0.5,
    "broker_transport_options": {
        "socket_connect_timeout": 0.3,
        "socket_timeout": 0.5,
        "max_retries": 0,
        "socket_keepalive": True,
        # retry_on_timeout stays unset: it would send an LPUSH twice.
    },
}
# RabbitMQ confirms each message once it is safe. Nobody waits longer than answer_timeout (s) for an
# answer; without that, whoever publishes waits for ever for a frozen or overloaded RabbitMQ.
rabbitmq_transport_options = {"confirm_publish": True, "answer_timeout": 5}
rabbitmq_publisher_options = {"confirm_publish": True, "answer_timeout": 0.5}

task_publish_retry = True
task_publish_retry_policy = {"max_retries": 3, "interval_start": 0.1, "interval_max": 1.0}

# -- shutdown --------------------------------------------------------------------------------------

# SIGTERM is a warm shutdown: the batch may finish, within task_time_limit. Give the process a
# longer grace period than that: a killed worker loses messages on Redis. These two are for SIGQUIT:
worker_soft_shutdown_timeout = 30  # finish the batch before the cold shutdown
worker_enable_soft_shutdown_on_idle = True  # retries waiting in memory go back to the queue
worker_cancel_long_running_tasks_on_connection_loss = False  # a batch is idempotent: let it finish

# -- what operators see ----------------------------------------------------------------------------

worker_send_task_events = True  # Flower needs them
task_send_sent_event = False  # 0.3 ms a publish, and a label in Flower for each web process
task_track_started = False  # no result backend to keep it in
worker_hijack_root_logger = False

# -- beat ------------------------------------------------------------------------------------------

# RedBeat takes a lock, so that a second beat can stand by. The lock is a lease and not a fence: two
# beats may send for a moment. Every periodic task is safe to run twice.
beat_scheduler = "reactions.tasks.beat_scheduler:Scheduler"  # RedBeat
redbeat_lock_timeout = 10  # a standby takes over after this
beat_max_loop_interval = 1  # the shortest interval is a second or two
timezone = "UTC"

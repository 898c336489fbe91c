"""What the first migration makes, frozen: tables and indexes, then functions and triggers, for each database."""

# ruff: noqa: E501

SQLITE = [
    """CREATE TABLE bundles (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    storage TEXT NOT NULL,
    path TEXT,
    nbytes INTEGER,
    sha256 TEXT,
    verified_at TEXT,
    status TEXT NOT NULL,
    priority INTEGER DEFAULT 0 NOT NULL,
    epoch INTEGER DEFAULT 0 NOT NULL,
    lease_until TEXT,
    leased_by TEXT,
    tries INTEGER DEFAULT 0 NOT NULL,
    failures INTEGER DEFAULT 0 NOT NULL,
    not_before TEXT,
    blocked_by TEXT,
    blocked_since TEXT,
    reason TEXT,
    actor TEXT,
    steps INTEGER DEFAULT 0 NOT NULL,
    created_at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now') || '000') NOT NULL,
    CONSTRAINT bundles_status_known CHECK (status IN ('open', 'writing', 'written', 'verified'))
)""",
    """CREATE INDEX bundles_leased ON bundles (leased_by) WHERE lease_until IS NOT NULL""",
    """CREATE INDEX bundles_unfinished ON bundles (storage, status, id) WHERE status <> 'verified'""",
    """CREATE TABLE conditions (
    id INTEGER NOT NULL,
    name TEXT NOT NULL,
    valid_from INTEGER NOT NULL,
    valid_to INTEGER,
    tags JSON DEFAULT '[]' NOT NULL,
    digest TEXT DEFAULT '' NOT NULL,
    actor TEXT,
    created_at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now') || '000') NOT NULL,
    CONSTRAINT conditions_pkey PRIMARY KEY (id)
)""",
    """CREATE INDEX conditions_name ON conditions (name, valid_from)""",
    """CREATE TABLE daemons (
    id INTEGER NOT NULL,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    state_dir TEXT NOT NULL,
    pid INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    start_ticks INTEGER NOT NULL,
    version TEXT NOT NULL,
    config_hash TEXT NOT NULL,
    started_at TEXT NOT NULL,
    beat_at TEXT NOT NULL,
    stopped_at TEXT,
    last_error TEXT,
    lanes JSON DEFAULT '{}' NOT NULL,
    CONSTRAINT daemons_pkey PRIMARY KEY (id),
    CONSTRAINT daemons_name_host_state_dir_key UNIQUE (name, host, state_dir)
)""",
    """CREATE TABLE inbox (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    body BLOB NOT NULL,
    status TEXT NOT NULL,
    priority INTEGER DEFAULT 0 NOT NULL,
    epoch INTEGER DEFAULT 0 NOT NULL,
    lease_until TEXT,
    leased_by TEXT,
    tries INTEGER DEFAULT 0 NOT NULL,
    failures INTEGER DEFAULT 0 NOT NULL,
    not_before TEXT,
    blocked_by TEXT,
    blocked_since TEXT,
    reason TEXT,
    actor TEXT,
    steps INTEGER DEFAULT 0 NOT NULL,
    created_at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now') || '000') NOT NULL,
    CONSTRAINT inbox_topic_sha256_key UNIQUE (topic, sha256),
    CONSTRAINT inbox_status_known CHECK (status IN ('new', 'done', 'ignored'))
)""",
    """CREATE INDEX inbox_leased ON inbox (leased_by) WHERE lease_until IS NOT NULL""",
    """CREATE INDEX inbox_new ON inbox (priority DESC, id) WHERE status = 'new'""",
    """CREATE TABLE manifests (
    digest TEXT NOT NULL,
    nbytes INTEGER NOT NULL,
    nfiles INTEGER NOT NULL,
    content BLOB NOT NULL,
    CONSTRAINT manifests_pkey PRIMARY KEY (digest)
)""",
    """CREATE TABLE outbox (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    stream TEXT NOT NULL,
    sink TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    details JSON DEFAULT '{}' NOT NULL,
    "key" TEXT,
    sent_at TEXT,
    status TEXT NOT NULL,
    priority INTEGER DEFAULT 0 NOT NULL,
    epoch INTEGER DEFAULT 0 NOT NULL,
    lease_until TEXT,
    leased_by TEXT,
    tries INTEGER DEFAULT 0 NOT NULL,
    failures INTEGER DEFAULT 0 NOT NULL,
    not_before TEXT,
    blocked_by TEXT,
    blocked_since TEXT,
    reason TEXT,
    actor TEXT,
    steps INTEGER DEFAULT 0 NOT NULL,
    created_at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now') || '000') NOT NULL,
    CONSTRAINT outbox_status_known CHECK (status IN ('queued', 'sending', 'sent', 'failed')),
    CONSTRAINT outbox_key_key UNIQUE ("key")
)""",
    """CREATE INDEX outbox_leased ON outbox (leased_by) WHERE lease_until IS NOT NULL""",
    """CREATE INDEX outbox_queued ON outbox (sink, priority DESC, id) WHERE status = 'queued'""",
    """CREATE INDEX outbox_sending ON outbox (sink, priority DESC, id) WHERE status = 'sending'""",
    """CREATE INDEX outbox_waiting ON outbox (sink, stream, id) WHERE status IN ('queued', 'sending')""",
    """CREATE TABLE probes (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    value JSON DEFAULT '{}' NOT NULL,
    seen_at TEXT NOT NULL,
    valid_until TEXT NOT NULL,
    error TEXT,
    CONSTRAINT probes_pkey PRIMARY KEY (kind, subject)
)""",
    """CREATE TABLE requests (
    id INTEGER NOT NULL,
    mode TEXT NOT NULL,
    runs JSON DEFAULT '[]' NOT NULL,
    modules JSON DEFAULT '[]' NOT NULL,
    software_version TEXT DEFAULT '' NOT NULL,
    label TEXT DEFAULT '' NOT NULL,
    options JSON DEFAULT '{}' NOT NULL,
    progress JSON DEFAULT '{}' NOT NULL,
    actor TEXT,
    ended_at TEXT,
    reason TEXT,
    created_at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now') || '000') NOT NULL,
    CONSTRAINT requests_pkey PRIMARY KEY (id)
)""",
    """CREATE TABLE runs (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    source TEXT DEFAULT 'daq' NOT NULL,
    name TEXT NOT NULL,
    number INTEGER,
    listener TEXT,
    run_type TEXT DEFAULT '' NOT NULL,
    started_at TEXT,
    stopped_at TEXT,
    events INTEGER,
    nbytes INTEGER,
    params JSON DEFAULT '{}' NOT NULL,
    wanted TEXT DEFAULT '' NOT NULL,
    failed_from TEXT,
    to_archive BOOLEAN,
    comments TEXT DEFAULT '' NOT NULL,
    tags JSON DEFAULT '[]' NOT NULL,
    status TEXT NOT NULL,
    priority INTEGER DEFAULT 0 NOT NULL,
    epoch INTEGER DEFAULT 0 NOT NULL,
    lease_until TEXT,
    leased_by TEXT,
    tries INTEGER DEFAULT 0 NOT NULL,
    failures INTEGER DEFAULT 0 NOT NULL,
    not_before TEXT,
    blocked_by TEXT,
    blocked_since TEXT,
    reason TEXT,
    actor TEXT,
    steps INTEGER DEFAULT 0 NOT NULL,
    created_at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now') || '000') NOT NULL,
    CONSTRAINT runs_name_source_key UNIQUE (name, source),
    CONSTRAINT runs_wanted_known CHECK (wanted IN ('', 'cancel')),
    CONSTRAINT runs_source_text CHECK (typeof(source) = 'text'),
    CONSTRAINT runs_name_text CHECK (typeof(name) = 'text'),
    CONSTRAINT runs_run_type_text CHECK (typeof(run_type) = 'text'),
    CONSTRAINT runs_number_whole_number CHECK (typeof(number) IN ('integer', 'null')),
    CONSTRAINT runs_events_whole_number CHECK (typeof(events) IN ('integer', 'null')),
    CONSTRAINT runs_nbytes_whole_number CHECK (typeof(nbytes) IN ('integer', 'null')),
    CONSTRAINT runs_priority_whole_number CHECK (typeof(priority) IN ('integer', 'null')),
    CONSTRAINT runs_started_at_time CHECK (started_at IS NULL OR started_at GLOB '????-??-??*' AND julianday(started_at) IS NOT NULL AND date(substr(started_at, 1, 10), '+0 days') = substr(started_at, 1, 10)),
    CONSTRAINT runs_stopped_at_time CHECK (stopped_at IS NULL OR stopped_at GLOB '????-??-??*' AND julianday(stopped_at) IS NOT NULL AND date(substr(stopped_at, 1, 10), '+0 days') = substr(stopped_at, 1, 10)),
    CONSTRAINT runs_params_object CHECK (json_valid(params) AND json_type(params) = 'object'),
    CONSTRAINT runs_tags_array CHECK (json_valid(tags) AND json_type(tags) = 'array'),
    CONSTRAINT runs_status_known CHECK (status IN ('acquired', 'transferring', 'ondeck', 'processing', 'processed', 'archived', 'failed', 'cancelled'))
)""",
    """CREATE INDEX runs_acquired ON runs (priority DESC, id) WHERE status = 'acquired'""",
    """CREATE INDEX runs_failed ON runs (id) WHERE status = 'failed'""",
    """CREATE INDEX runs_leased ON runs (leased_by) WHERE lease_until IS NOT NULL""",
    """CREATE INDEX runs_number ON runs (number)""",
    """CREATE INDEX runs_ondeck ON runs (priority DESC, id) WHERE status = 'ondeck'""",
    """CREATE INDEX runs_processing ON runs (priority DESC, id) WHERE status = 'processing'""",
    """CREATE INDEX runs_to_archive ON runs (id) WHERE status = 'processed' AND to_archive IS TRUE""",
    """CREATE INDEX runs_transferring ON runs (priority DESC, id) WHERE status = 'transferring'""",
    """CREATE TABLE sites (
    name TEXT NOT NULL,
    paused_at TEXT,
    paused_until TEXT,
    paused_by TEXT,
    pause_reason TEXT,
    drain BOOLEAN DEFAULT false NOT NULL,
    breaker_opened_at TEXT,
    breaker_reason TEXT,
    breaker_trial_at TEXT,
    breaker_rows JSON DEFAULT '[]' NOT NULL,
    polled_at TEXT,
    poll_seconds DOUBLE,
    CONSTRAINT sites_pkey PRIMARY KEY (name)
)""",
    """CREATE TABLE sources (
    name TEXT NOT NULL,
    adopted TEXT,
    adopted_at TEXT,
    watermark TEXT,
    open_runs JSON DEFAULT '[]' NOT NULL,
    left_out JSON DEFAULT '[]' NOT NULL,
    looked_at TEXT,
    error TEXT,
    CONSTRAINT sources_pkey PRIMARY KEY (name)
)""",
    """CREATE TABLE storages (
    name TEXT NOT NULL,
    uuid TEXT NOT NULL,
    initialised_at TEXT NOT NULL,
    actor TEXT NOT NULL,
    CONSTRAINT storages_pkey PRIMARY KEY (name)
)""",
    """CREATE TABLE transitions (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    table_name TEXT NOT NULL,
    row_id INTEGER NOT NULL,
    source TEXT,
    "to" TEXT NOT NULL,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT
)""",
    """CREATE INDEX transitions_row ON transitions (table_name, row_id, id)""",
    """CREATE TABLE jobs (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    run_id INTEGER NOT NULL,
    module TEXT NOT NULL,
    pass INTEGER DEFAULT 0 NOT NULL,
    part INTEGER DEFAULT 0 NOT NULL,
    wanted TEXT DEFAULT '' NOT NULL,
    validation TEXT DEFAULT 'NONE' NOT NULL,
    result TEXT DEFAULT '' NOT NULL,
    settings JSON DEFAULT '{}' NOT NULL,
    options TEXT DEFAULT '' NOT NULL,
    software_version TEXT DEFAULT '' NOT NULL,
    filetype TEXT DEFAULT '' NOT NULL,
    conditions_tag TEXT DEFAULT '' NOT NULL,
    site TEXT DEFAULT '' NOT NULL,
    queue TEXT DEFAULT '' NOT NULL,
    walltime INTEGER,
    prerequisite_id INTEGER,
    published_attempt INTEGER,
    label TEXT DEFAULT '' NOT NULL,
    status TEXT NOT NULL,
    priority INTEGER DEFAULT 0 NOT NULL,
    epoch INTEGER DEFAULT 0 NOT NULL,
    lease_until TEXT,
    leased_by TEXT,
    tries INTEGER DEFAULT 0 NOT NULL,
    failures INTEGER DEFAULT 0 NOT NULL,
    not_before TEXT,
    blocked_by TEXT,
    blocked_since TEXT,
    reason TEXT,
    actor TEXT,
    steps INTEGER DEFAULT 0 NOT NULL,
    created_at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now') || '000') NOT NULL,
    CONSTRAINT jobs_run_id_module_pass_part_key UNIQUE (run_id, module, pass, part),
    CONSTRAINT jobs_wanted_known CHECK (wanted IN ('', 'reset', 'hold', 'cancel')),
    CONSTRAINT jobs_validation_known CHECK (validation IN ('NONE', 'WAITING', 'YES', 'BAD')),
    CONSTRAINT jobs_result_known CHECK (result IN ('', 'OK', 'FAILED')),
    CONSTRAINT jobs_status_known CHECK (status IN ('waiting', 'blocked', 'new', 'submitting', 'pending', 'running', 'done', 'failed', 'cancelled')),
    CONSTRAINT jobs_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id),
    CONSTRAINT jobs_prerequisite_id_fkey FOREIGN KEY(prerequisite_id) REFERENCES jobs (id)
)""",
    """CREATE INDEX jobs_blocked ON jobs (site, priority DESC, id) WHERE status = 'blocked'""",
    """CREATE INDEX jobs_leased ON jobs (leased_by) WHERE lease_until IS NOT NULL""",
    """CREATE INDEX jobs_new ON jobs (site, priority DESC, id) WHERE status = 'new'""",
    """CREATE INDEX jobs_pending ON jobs (site, priority DESC, id) WHERE status = 'pending'""",
    """CREATE INDEX jobs_prerequisite ON jobs (prerequisite_id)""",
    """CREATE INDEX jobs_running ON jobs (site, priority DESC, id) WHERE status = 'running'""",
    """CREATE INDEX jobs_submitting ON jobs (site, priority DESC, id) WHERE status = 'submitting'""",
    """CREATE INDEX jobs_waiting ON jobs (site, priority DESC, id) WHERE status = 'waiting'""",
    """CREATE TABLE locks (
    id INTEGER NOT NULL,
    type TEXT NOT NULL,
    run_id INTEGER,
    set_at TEXT NOT NULL,
    set_by TEXT NOT NULL,
    valid_from INTEGER,
    valid_to INTEGER,
    released_at TEXT,
    released_by TEXT,
    CONSTRAINT locks_pkey PRIMARY KEY (id),
    CONSTRAINT locks_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id)
)""",
    """CREATE TABLE attempts (
    id INTEGER NOT NULL,
    job_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    token TEXT NOT NULL,
    site TEXT NOT NULL,
    directory TEXT NOT NULL,
    batch_id TEXT,
    submitted_at TEXT,
    started_at TEXT,
    ended_at TEXT,
    exit_code INTEGER,
    signal INTEGER,
    verdict TEXT,
    words TEXT,
    state TEXT,
    pending_reason TEXT,
    host TEXT,
    cpu_seconds DOUBLE,
    missed_since TEXT,
    misses INTEGER DEFAULT 0 NOT NULL,
    created_at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now') || '000') NOT NULL,
    CONSTRAINT attempts_pkey PRIMARY KEY (id),
    CONSTRAINT attempts_job_id_number_key UNIQUE (job_id, number),
    CONSTRAINT attempts_token_key UNIQUE (token),
    CONSTRAINT attempts_job_id_fkey FOREIGN KEY(job_id) REFERENCES jobs (id)
)""",
    """CREATE INDEX attempts_open ON attempts (site, id) WHERE ended_at IS NULL""",
    """CREATE TABLE copies (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    run_id INTEGER NOT NULL,
    job_id INTEGER,
    bundle_id INTEGER,
    storage TEXT NOT NULL,
    path TEXT NOT NULL,
    form TEXT DEFAULT 'plain' NOT NULL,
    nbytes INTEGER,
    nfiles INTEGER,
    manifest TEXT,
    wanted BOOLEAN DEFAULT true NOT NULL,
    verified_at TEXT,
    status TEXT NOT NULL,
    priority INTEGER DEFAULT 0 NOT NULL,
    epoch INTEGER DEFAULT 0 NOT NULL,
    lease_until TEXT,
    leased_by TEXT,
    tries INTEGER DEFAULT 0 NOT NULL,
    failures INTEGER DEFAULT 0 NOT NULL,
    not_before TEXT,
    blocked_by TEXT,
    blocked_since TEXT,
    reason TEXT,
    actor TEXT,
    steps INTEGER DEFAULT 0 NOT NULL,
    created_at TEXT DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now') || '000') NOT NULL,
    CONSTRAINT copies_form_known CHECK (form IN ('plain', 'compressed', 'bundled')),
    CONSTRAINT copies_status_known CHECK (status IN ('absent', 'writing', 'verified', 'suspect', 'deleting')),
    CONSTRAINT copies_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id),
    CONSTRAINT copies_job_id_fkey FOREIGN KEY(job_id) REFERENCES jobs (id),
    CONSTRAINT copies_bundle_id_fkey FOREIGN KEY(bundle_id) REFERENCES bundles (id),
    CONSTRAINT copies_manifest_fkey FOREIGN KEY(manifest) REFERENCES manifests (digest)
)""",
    """CREATE INDEX copies_bundle_id ON copies (bundle_id)""",
    """CREATE INDEX copies_leased ON copies (leased_by) WHERE lease_until IS NOT NULL""",
    """CREATE INDEX copies_missing ON copies (storage, id) WHERE status = 'absent' AND wanted""",
    """CREATE INDEX copies_moving ON copies (storage, status, id) WHERE status IN ('writing', 'suspect', 'deleting')""",
    """CREATE UNIQUE INDEX copies_output_key ON copies (job_id, storage, form) WHERE job_id IS NOT NULL""",
    """CREATE UNIQUE INDEX copies_raw_key ON copies (run_id, storage, form) WHERE job_id IS NULL""",
    """CREATE INDEX copies_raw_there ON copies (storage, run_id) WHERE status = 'verified' AND wanted AND form = 'plain' AND job_id IS NULL""",
    """CREATE INDEX copies_run_id ON copies (run_id)""",
    """CREATE INDEX copies_there ON copies (storage, verified_at) WHERE status = 'verified'""",
    """CREATE INDEX copies_unwanted ON copies (storage, id) WHERE NOT wanted AND status = 'verified'""",
    """CREATE TABLE receipts (
    id INTEGER NOT NULL,
    copy_id INTEGER NOT NULL,
    opened_at TEXT NOT NULL,
    closed_at TEXT,
    outcome TEXT DEFAULT '' NOT NULL,
    rule TEXT NOT NULL,
    reason TEXT,
    checks JSON DEFAULT '[]' NOT NULL,
    free_before INTEGER,
    free_after INTEGER,
    actor TEXT NOT NULL,
    CONSTRAINT receipts_pkey PRIMARY KEY (id),
    CONSTRAINT receipts_outcome_known CHECK (outcome IN ('', 'removed', 'aborted')),
    CONSTRAINT receipts_copy_id_fkey FOREIGN KEY(copy_id) REFERENCES copies (id)
)""",
    """CREATE INDEX receipts_copy_id ON receipts (copy_id)""",
    """CREATE UNIQUE INDEX receipts_open ON receipts (copy_id) WHERE closed_at IS NULL""",
    """CREATE TABLE pins (
    receipt_id INTEGER NOT NULL,
    copy_id INTEGER NOT NULL,
    CONSTRAINT pins_pkey PRIMARY KEY (receipt_id, copy_id),
    CONSTRAINT pins_receipt_id_fkey FOREIGN KEY(receipt_id) REFERENCES receipts (id),
    CONSTRAINT pins_copy_id_fkey FOREIGN KEY(copy_id) REFERENCES copies (id)
)""",
    """CREATE INDEX pins_copy_id ON pins (copy_id)""",
    """CREATE TRIGGER runs_birth AFTER INSERT ON runs
BEGIN
  INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)
  VALUES ('runs', NEW.id, NULL, NEW.status, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000', coalesce(NEW.actor, 'by hand'), NEW.reason);
END""",
    """CREATE TRIGGER runs_step AFTER UPDATE OF status, steps ON runs WHEN OLD.status <> NEW.status OR NEW.steps > OLD.steps
BEGIN
  SELECT CASE OLD.status
    WHEN 'acquired' THEN CASE WHEN NEW.status NOT IN ('acquired', 'transferring', 'ondeck', 'failed', 'cancelled') THEN RAISE(ABORT, 'illegal step of runs: legal from acquired: transferring, ondeck, failed, cancelled') END
    WHEN 'transferring' THEN CASE WHEN NEW.status NOT IN ('transferring', 'ondeck', 'acquired', 'failed', 'cancelled') THEN RAISE(ABORT, 'illegal step of runs: legal from transferring: ondeck, acquired, failed, cancelled') END
    WHEN 'ondeck' THEN CASE WHEN NEW.status NOT IN ('ondeck', 'processing', 'processed', 'failed', 'cancelled') THEN RAISE(ABORT, 'illegal step of runs: legal from ondeck: processing, processed, failed, cancelled') END
    WHEN 'processing' THEN CASE WHEN NEW.status NOT IN ('processing', 'processed', 'failed', 'cancelled') THEN RAISE(ABORT, 'illegal step of runs: legal from processing: processed, failed, cancelled') END
    WHEN 'processed' THEN CASE WHEN NEW.status NOT IN ('processed', 'archived', 'processing', 'cancelled') THEN RAISE(ABORT, 'illegal step of runs: legal from processed: archived, processing, cancelled') END
    WHEN 'archived' THEN CASE WHEN NEW.status NOT IN ('archived', 'processing') THEN RAISE(ABORT, 'illegal step of runs: legal from archived: processing') END
    WHEN 'failed' THEN CASE WHEN NEW.status NOT IN ('failed', 'processing', 'acquired', 'ondeck', 'cancelled') THEN RAISE(ABORT, 'illegal step of runs: legal from failed: processing, acquired, ondeck, cancelled') END
    WHEN 'cancelled' THEN CASE WHEN NEW.status NOT IN ('cancelled', 'acquired', 'ondeck', 'processing') THEN RAISE(ABORT, 'illegal step of runs: legal from cancelled: acquired, ondeck, processing') END
  END;
  INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)
  VALUES ('runs', NEW.id, OLD.status, NEW.status, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000',
    CASE WHEN NEW.steps > OLD.steps THEN coalesce(NEW.actor, 'by hand') ELSE 'by hand' END,
    CASE WHEN NEW.steps > OLD.steps THEN NEW.reason END);
END""",
    """CREATE TRIGGER runs_id BEFORE UPDATE OF id ON runs WHEN OLD.id <> NEW.id
BEGIN
  SELECT RAISE(ABORT, 'a row keeps its id: its history hangs on it');
END""",
    """CREATE TRIGGER jobs_birth AFTER INSERT ON jobs
BEGIN
  INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)
  VALUES ('jobs', NEW.id, NULL, NEW.status, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000', coalesce(NEW.actor, 'by hand'), NEW.reason);
END""",
    """CREATE TRIGGER jobs_step AFTER UPDATE OF status, steps ON jobs WHEN OLD.status <> NEW.status OR NEW.steps > OLD.steps
BEGIN
  SELECT CASE OLD.status
    WHEN 'waiting' THEN CASE WHEN NEW.status NOT IN ('waiting', 'blocked', 'new', 'cancelled', 'done', 'failed') THEN RAISE(ABORT, 'illegal step of jobs: legal from waiting: blocked, new, cancelled, done, failed') END
    WHEN 'blocked' THEN CASE WHEN NEW.status NOT IN ('blocked', 'new', 'cancelled', 'waiting') THEN RAISE(ABORT, 'illegal step of jobs: legal from blocked: new, cancelled, waiting') END
    WHEN 'new' THEN CASE WHEN NEW.status NOT IN ('new', 'blocked', 'submitting', 'waiting', 'cancelled') THEN RAISE(ABORT, 'illegal step of jobs: legal from new: blocked, submitting, waiting, cancelled') END
    WHEN 'submitting' THEN CASE WHEN NEW.status NOT IN ('submitting', 'pending', 'running', 'done', 'failed', 'cancelled', 'new', 'waiting') THEN RAISE(ABORT, 'illegal step of jobs: legal from submitting: pending, running, done, failed, cancelled, new, waiting') END
    WHEN 'pending' THEN CASE WHEN NEW.status NOT IN ('pending', 'running', 'done', 'failed', 'cancelled', 'new', 'waiting') THEN RAISE(ABORT, 'illegal step of jobs: legal from pending: running, done, failed, cancelled, new, waiting') END
    WHEN 'running' THEN CASE WHEN NEW.status NOT IN ('running', 'done', 'failed', 'cancelled', 'new', 'waiting') THEN RAISE(ABORT, 'illegal step of jobs: legal from running: done, failed, cancelled, new, waiting') END
    WHEN 'done' THEN CASE WHEN NEW.status NOT IN ('done', 'new', 'blocked', 'waiting') THEN RAISE(ABORT, 'illegal step of jobs: legal from done: new, blocked, waiting') END
    WHEN 'failed' THEN CASE WHEN NEW.status NOT IN ('failed', 'new', 'blocked', 'waiting', 'cancelled') THEN RAISE(ABORT, 'illegal step of jobs: legal from failed: new, blocked, waiting, cancelled') END
    WHEN 'cancelled' THEN CASE WHEN NEW.status NOT IN ('cancelled', 'new', 'blocked', 'waiting') THEN RAISE(ABORT, 'illegal step of jobs: legal from cancelled: new, blocked, waiting') END
  END;
  INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)
  VALUES ('jobs', NEW.id, OLD.status, NEW.status, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000',
    CASE WHEN NEW.steps > OLD.steps THEN coalesce(NEW.actor, 'by hand') ELSE 'by hand' END,
    CASE WHEN NEW.steps > OLD.steps THEN NEW.reason END);
END""",
    """CREATE TRIGGER jobs_id BEFORE UPDATE OF id ON jobs WHEN OLD.id <> NEW.id
BEGIN
  SELECT RAISE(ABORT, 'a row keeps its id: its history hangs on it');
END""",
    """CREATE TRIGGER copies_birth AFTER INSERT ON copies
BEGIN
  INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)
  VALUES ('copies', NEW.id, NULL, NEW.status, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000', coalesce(NEW.actor, 'by hand'), NEW.reason);
END""",
    """CREATE TRIGGER copies_step AFTER UPDATE OF status, steps ON copies WHEN OLD.status <> NEW.status OR NEW.steps > OLD.steps
BEGIN
  SELECT CASE OLD.status
    WHEN 'absent' THEN CASE WHEN NEW.status NOT IN ('absent', 'writing') THEN RAISE(ABORT, 'illegal step of copies: legal from absent: writing') END
    WHEN 'writing' THEN CASE WHEN NEW.status NOT IN ('writing', 'verified', 'absent') THEN RAISE(ABORT, 'illegal step of copies: legal from writing: verified, absent') END
    WHEN 'verified' THEN CASE WHEN NEW.status NOT IN ('verified', 'suspect', 'deleting') THEN RAISE(ABORT, 'illegal step of copies: legal from verified: suspect, deleting') END
    WHEN 'suspect' THEN CASE WHEN NEW.status NOT IN ('suspect', 'verified', 'writing', 'absent') THEN RAISE(ABORT, 'illegal step of copies: legal from suspect: verified, writing, absent') END
    WHEN 'deleting' THEN CASE WHEN NEW.status NOT IN ('deleting', 'absent', 'suspect') THEN RAISE(ABORT, 'illegal step of copies: legal from deleting: absent, suspect') END
  END;
  INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)
  VALUES ('copies', NEW.id, OLD.status, NEW.status, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000',
    CASE WHEN NEW.steps > OLD.steps THEN coalesce(NEW.actor, 'by hand') ELSE 'by hand' END,
    CASE WHEN NEW.steps > OLD.steps THEN NEW.reason END);
END""",
    """CREATE TRIGGER copies_id BEFORE UPDATE OF id ON copies WHEN OLD.id <> NEW.id
BEGIN
  SELECT RAISE(ABORT, 'a row keeps its id: its history hangs on it');
END""",
    """CREATE TRIGGER bundles_birth AFTER INSERT ON bundles
BEGIN
  INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)
  VALUES ('bundles', NEW.id, NULL, NEW.status, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000', coalesce(NEW.actor, 'by hand'), NEW.reason);
END""",
    """CREATE TRIGGER bundles_step AFTER UPDATE OF status, steps ON bundles WHEN OLD.status <> NEW.status OR NEW.steps > OLD.steps
BEGIN
  SELECT CASE OLD.status
    WHEN 'open' THEN CASE WHEN NEW.status NOT IN ('open', 'writing') THEN RAISE(ABORT, 'illegal step of bundles: legal from open: writing') END
    WHEN 'writing' THEN CASE WHEN NEW.status NOT IN ('writing', 'written', 'open') THEN RAISE(ABORT, 'illegal step of bundles: legal from writing: written, open') END
    WHEN 'written' THEN CASE WHEN NEW.status NOT IN ('written', 'verified', 'open') THEN RAISE(ABORT, 'illegal step of bundles: legal from written: verified, open') END
    WHEN 'verified' THEN CASE WHEN NEW.status NOT IN ('verified') THEN RAISE(ABORT, 'illegal step of bundles: nothing is legal from verified') END
  END;
  INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)
  VALUES ('bundles', NEW.id, OLD.status, NEW.status, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000',
    CASE WHEN NEW.steps > OLD.steps THEN coalesce(NEW.actor, 'by hand') ELSE 'by hand' END,
    CASE WHEN NEW.steps > OLD.steps THEN NEW.reason END);
END""",
    """CREATE TRIGGER bundles_id BEFORE UPDATE OF id ON bundles WHEN OLD.id <> NEW.id
BEGIN
  SELECT RAISE(ABORT, 'a row keeps its id: its history hangs on it');
END""",
    """CREATE TRIGGER inbox_birth AFTER INSERT ON inbox
BEGIN
  INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)
  VALUES ('inbox', NEW.id, NULL, NEW.status, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000', coalesce(NEW.actor, 'by hand'), NEW.reason);
END""",
    """CREATE TRIGGER inbox_step AFTER UPDATE OF status, steps ON inbox WHEN OLD.status <> NEW.status OR NEW.steps > OLD.steps
BEGIN
  SELECT CASE OLD.status
    WHEN 'new' THEN CASE WHEN NEW.status NOT IN ('new', 'done', 'ignored') THEN RAISE(ABORT, 'illegal step of inbox: legal from new: done, ignored') END
    WHEN 'done' THEN CASE WHEN NEW.status NOT IN ('done') THEN RAISE(ABORT, 'illegal step of inbox: nothing is legal from done') END
    WHEN 'ignored' THEN CASE WHEN NEW.status NOT IN ('ignored') THEN RAISE(ABORT, 'illegal step of inbox: nothing is legal from ignored') END
  END;
  INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)
  VALUES ('inbox', NEW.id, OLD.status, NEW.status, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000',
    CASE WHEN NEW.steps > OLD.steps THEN coalesce(NEW.actor, 'by hand') ELSE 'by hand' END,
    CASE WHEN NEW.steps > OLD.steps THEN NEW.reason END);
END""",
    """CREATE TRIGGER inbox_id BEFORE UPDATE OF id ON inbox WHEN OLD.id <> NEW.id
BEGIN
  SELECT RAISE(ABORT, 'a row keeps its id: its history hangs on it');
END""",
    """CREATE TRIGGER outbox_birth AFTER INSERT ON outbox
BEGIN
  INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)
  VALUES ('outbox', NEW.id, NULL, NEW.status, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000', coalesce(NEW.actor, 'by hand'), NEW.reason);
END""",
    """CREATE TRIGGER outbox_step AFTER UPDATE OF status, steps ON outbox WHEN OLD.status <> NEW.status OR NEW.steps > OLD.steps
BEGIN
  SELECT CASE OLD.status
    WHEN 'queued' THEN CASE WHEN NEW.status NOT IN ('queued', 'sending') THEN RAISE(ABORT, 'illegal step of outbox: legal from queued: sending') END
    WHEN 'sending' THEN CASE WHEN NEW.status NOT IN ('sending', 'sent', 'queued', 'failed') THEN RAISE(ABORT, 'illegal step of outbox: legal from sending: sent, queued, failed') END
    WHEN 'sent' THEN CASE WHEN NEW.status NOT IN ('sent') THEN RAISE(ABORT, 'illegal step of outbox: nothing is legal from sent') END
    WHEN 'failed' THEN CASE WHEN NEW.status NOT IN ('failed', 'queued') THEN RAISE(ABORT, 'illegal step of outbox: legal from failed: queued') END
  END;
  INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)
  VALUES ('outbox', NEW.id, OLD.status, NEW.status, strftime('%Y-%m-%d %H:%M:%f', 'now') || '000',
    CASE WHEN NEW.steps > OLD.steps THEN coalesce(NEW.actor, 'by hand') ELSE 'by hand' END,
    CASE WHEN NEW.steps > OLD.steps THEN NEW.reason END);
END""",
    """CREATE TRIGGER outbox_id BEFORE UPDATE OF id ON outbox WHEN OLD.id <> NEW.id
BEGIN
  SELECT RAISE(ABORT, 'a row keeps its id: its history hangs on it');
END""",
    """CREATE TRIGGER transitions_no_update BEFORE UPDATE ON transitions
BEGIN
  SELECT RAISE(ABORT, 'the history is append-only');
END""",
    """CREATE TRIGGER transitions_no_delete BEFORE DELETE ON transitions
BEGIN
  SELECT RAISE(ABORT, 'the history is append-only');
END""",
    """CREATE TRIGGER copies_pinned BEFORE UPDATE OF wanted ON copies WHEN OLD.wanted AND NOT NEW.wanted
BEGIN
  SELECT RAISE(ABORT, 'a witness of an open receipt stays wanted')
  FROM pins JOIN receipts ON receipts.id = pins.receipt_id
  WHERE pins.copy_id = OLD.id AND receipts.closed_at IS NULL;
END""",
]

POSTGRESQL = [
    """CREATE TABLE bundles (
    id BIGSERIAL NOT NULL,
    storage TEXT NOT NULL,
    path TEXT,
    nbytes BIGINT,
    sha256 TEXT,
    verified_at TIMESTAMP WITH TIME ZONE,
    status TEXT NOT NULL,
    priority BIGINT DEFAULT 0 NOT NULL,
    epoch BIGINT DEFAULT 0 NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    leased_by TEXT,
    tries BIGINT DEFAULT 0 NOT NULL,
    failures BIGINT DEFAULT 0 NOT NULL,
    not_before TIMESTAMP WITH TIME ZONE,
    blocked_by TEXT,
    blocked_since TIMESTAMP WITH TIME ZONE,
    reason TEXT,
    actor TEXT,
    steps BIGINT DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT statement_timestamp() NOT NULL,
    CONSTRAINT bundles_pkey PRIMARY KEY (id),
    CONSTRAINT bundles_status_known CHECK (status IN ('open', 'writing', 'written', 'verified'))
)""",
    """CREATE INDEX bundles_leased ON bundles (leased_by) WHERE lease_until IS NOT NULL""",
    """CREATE INDEX bundles_unfinished ON bundles (storage, status, id) WHERE status <> 'verified'""",
    """CREATE TABLE conditions (
    id BIGSERIAL NOT NULL,
    name TEXT NOT NULL,
    valid_from BIGINT NOT NULL,
    valid_to BIGINT,
    tags JSONB DEFAULT '[]' NOT NULL,
    digest TEXT DEFAULT '' NOT NULL,
    actor TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT statement_timestamp() NOT NULL,
    CONSTRAINT conditions_pkey PRIMARY KEY (id)
)""",
    """CREATE INDEX conditions_name ON conditions (name, valid_from)""",
    """CREATE TABLE daemons (
    id BIGSERIAL NOT NULL,
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    state_dir TEXT NOT NULL,
    pid BIGINT NOT NULL,
    boot_id TEXT NOT NULL,
    start_ticks BIGINT NOT NULL,
    version TEXT NOT NULL,
    config_hash TEXT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    beat_at TIMESTAMP WITH TIME ZONE NOT NULL,
    stopped_at TIMESTAMP WITH TIME ZONE,
    last_error TEXT,
    lanes JSONB DEFAULT '{}' NOT NULL,
    CONSTRAINT daemons_pkey PRIMARY KEY (id),
    CONSTRAINT daemons_name_host_state_dir_key UNIQUE (name, host, state_dir)
)""",
    """CREATE TABLE inbox (
    id BIGSERIAL NOT NULL,
    topic TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    body BYTEA NOT NULL,
    status TEXT NOT NULL,
    priority BIGINT DEFAULT 0 NOT NULL,
    epoch BIGINT DEFAULT 0 NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    leased_by TEXT,
    tries BIGINT DEFAULT 0 NOT NULL,
    failures BIGINT DEFAULT 0 NOT NULL,
    not_before TIMESTAMP WITH TIME ZONE,
    blocked_by TEXT,
    blocked_since TIMESTAMP WITH TIME ZONE,
    reason TEXT,
    actor TEXT,
    steps BIGINT DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT statement_timestamp() NOT NULL,
    CONSTRAINT inbox_pkey PRIMARY KEY (id),
    CONSTRAINT inbox_topic_sha256_key UNIQUE (topic, sha256),
    CONSTRAINT inbox_status_known CHECK (status IN ('new', 'done', 'ignored'))
)""",
    """CREATE INDEX inbox_leased ON inbox (leased_by) WHERE lease_until IS NOT NULL""",
    """CREATE INDEX inbox_new ON inbox (priority DESC, id) WHERE status = 'new'""",
    """CREATE TABLE manifests (
    digest TEXT NOT NULL,
    nbytes BIGINT NOT NULL,
    nfiles BIGINT NOT NULL,
    content BYTEA NOT NULL,
    CONSTRAINT manifests_pkey PRIMARY KEY (digest)
)""",
    """CREATE TABLE outbox (
    id BIGSERIAL NOT NULL,
    stream TEXT NOT NULL,
    sink TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    details JSONB DEFAULT '{}' NOT NULL,
    key TEXT,
    sent_at TIMESTAMP WITH TIME ZONE,
    status TEXT NOT NULL,
    priority BIGINT DEFAULT 0 NOT NULL,
    epoch BIGINT DEFAULT 0 NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    leased_by TEXT,
    tries BIGINT DEFAULT 0 NOT NULL,
    failures BIGINT DEFAULT 0 NOT NULL,
    not_before TIMESTAMP WITH TIME ZONE,
    blocked_by TEXT,
    blocked_since TIMESTAMP WITH TIME ZONE,
    reason TEXT,
    actor TEXT,
    steps BIGINT DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT statement_timestamp() NOT NULL,
    CONSTRAINT outbox_pkey PRIMARY KEY (id),
    CONSTRAINT outbox_status_known CHECK (status IN ('queued', 'sending', 'sent', 'failed')),
    CONSTRAINT outbox_key_key UNIQUE (key)
)""",
    """CREATE INDEX outbox_leased ON outbox (leased_by) WHERE lease_until IS NOT NULL""",
    """CREATE INDEX outbox_queued ON outbox (sink, priority DESC, id) WHERE status = 'queued'""",
    """CREATE INDEX outbox_sending ON outbox (sink, priority DESC, id) WHERE status = 'sending'""",
    """CREATE INDEX outbox_waiting ON outbox (sink, stream, id) WHERE status IN ('queued', 'sending')""",
    """CREATE TABLE probes (
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    value JSONB DEFAULT '{}' NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    valid_until TIMESTAMP WITH TIME ZONE NOT NULL,
    error TEXT,
    CONSTRAINT probes_pkey PRIMARY KEY (kind, subject)
)""",
    """CREATE TABLE requests (
    id BIGSERIAL NOT NULL,
    mode TEXT NOT NULL,
    runs JSONB DEFAULT '[]' NOT NULL,
    modules JSONB DEFAULT '[]' NOT NULL,
    software_version TEXT DEFAULT '' NOT NULL,
    label TEXT DEFAULT '' NOT NULL,
    options JSONB DEFAULT '{}' NOT NULL,
    progress JSONB DEFAULT '{}' NOT NULL,
    actor TEXT,
    ended_at TIMESTAMP WITH TIME ZONE,
    reason TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT statement_timestamp() NOT NULL,
    CONSTRAINT requests_pkey PRIMARY KEY (id)
)""",
    """CREATE TABLE runs (
    id BIGSERIAL NOT NULL,
    source TEXT DEFAULT 'daq' NOT NULL,
    name TEXT NOT NULL,
    number BIGINT,
    listener TEXT,
    run_type TEXT DEFAULT '' NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    stopped_at TIMESTAMP WITH TIME ZONE,
    events BIGINT,
    nbytes BIGINT,
    params JSONB DEFAULT '{}' NOT NULL,
    wanted TEXT DEFAULT '' NOT NULL,
    failed_from TEXT,
    to_archive BOOLEAN,
    comments TEXT DEFAULT '' NOT NULL,
    tags JSONB DEFAULT '[]' NOT NULL,
    status TEXT NOT NULL,
    priority BIGINT DEFAULT 0 NOT NULL,
    epoch BIGINT DEFAULT 0 NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    leased_by TEXT,
    tries BIGINT DEFAULT 0 NOT NULL,
    failures BIGINT DEFAULT 0 NOT NULL,
    not_before TIMESTAMP WITH TIME ZONE,
    blocked_by TEXT,
    blocked_since TIMESTAMP WITH TIME ZONE,
    reason TEXT,
    actor TEXT,
    steps BIGINT DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT statement_timestamp() NOT NULL,
    CONSTRAINT runs_pkey PRIMARY KEY (id),
    CONSTRAINT runs_name_source_key UNIQUE (name, source),
    CONSTRAINT runs_wanted_known CHECK (wanted IN ('', 'cancel')),
    CONSTRAINT runs_params_object CHECK (jsonb_typeof(params) = 'object'),
    CONSTRAINT runs_tags_array CHECK (jsonb_typeof(tags) = 'array'),
    CONSTRAINT runs_status_known CHECK (status IN ('acquired', 'transferring', 'ondeck', 'processing', 'processed', 'archived', 'failed', 'cancelled'))
)""",
    """CREATE INDEX runs_acquired ON runs (priority DESC, id) WHERE status = 'acquired'""",
    """CREATE INDEX runs_failed ON runs (id) WHERE status = 'failed'""",
    """CREATE INDEX runs_leased ON runs (leased_by) WHERE lease_until IS NOT NULL""",
    """CREATE INDEX runs_number ON runs (number)""",
    """CREATE INDEX runs_ondeck ON runs (priority DESC, id) WHERE status = 'ondeck'""",
    """CREATE INDEX runs_processing ON runs (priority DESC, id) WHERE status = 'processing'""",
    """CREATE INDEX runs_to_archive ON runs (id) WHERE status = 'processed' AND to_archive IS TRUE""",
    """CREATE INDEX runs_transferring ON runs (priority DESC, id) WHERE status = 'transferring'""",
    """CREATE TABLE sites (
    name TEXT NOT NULL,
    paused_at TIMESTAMP WITH TIME ZONE,
    paused_until TIMESTAMP WITH TIME ZONE,
    paused_by TEXT,
    pause_reason TEXT,
    drain BOOLEAN DEFAULT false NOT NULL,
    breaker_opened_at TIMESTAMP WITH TIME ZONE,
    breaker_reason TEXT,
    breaker_trial_at TIMESTAMP WITH TIME ZONE,
    breaker_rows JSONB DEFAULT '[]' NOT NULL,
    polled_at TIMESTAMP WITH TIME ZONE,
    poll_seconds DOUBLE PRECISION,
    CONSTRAINT sites_pkey PRIMARY KEY (name)
)""",
    """CREATE TABLE sources (
    name TEXT NOT NULL,
    adopted TEXT,
    adopted_at TIMESTAMP WITH TIME ZONE,
    watermark TEXT,
    open_runs JSONB DEFAULT '[]' NOT NULL,
    left_out JSONB DEFAULT '[]' NOT NULL,
    looked_at TIMESTAMP WITH TIME ZONE,
    error TEXT,
    CONSTRAINT sources_pkey PRIMARY KEY (name)
)""",
    """CREATE TABLE storages (
    name TEXT NOT NULL,
    uuid TEXT NOT NULL,
    initialised_at TIMESTAMP WITH TIME ZONE NOT NULL,
    actor TEXT NOT NULL,
    CONSTRAINT storages_pkey PRIMARY KEY (name)
)""",
    """CREATE TABLE transitions (
    id BIGSERIAL NOT NULL,
    table_name TEXT NOT NULL,
    row_id BIGINT NOT NULL,
    source TEXT,
    "to" TEXT NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT,
    CONSTRAINT transitions_pkey PRIMARY KEY (id)
)""",
    """CREATE INDEX transitions_row ON transitions (table_name, row_id, id)""",
    """CREATE TABLE jobs (
    id BIGSERIAL NOT NULL,
    run_id BIGINT NOT NULL,
    module TEXT NOT NULL,
    pass BIGINT DEFAULT 0 NOT NULL,
    part BIGINT DEFAULT 0 NOT NULL,
    wanted TEXT DEFAULT '' NOT NULL,
    validation TEXT DEFAULT 'NONE' NOT NULL,
    result TEXT DEFAULT '' NOT NULL,
    settings JSONB DEFAULT '{}' NOT NULL,
    options TEXT DEFAULT '' NOT NULL,
    software_version TEXT DEFAULT '' NOT NULL,
    filetype TEXT DEFAULT '' NOT NULL,
    conditions_tag TEXT DEFAULT '' NOT NULL,
    site TEXT DEFAULT '' NOT NULL,
    queue TEXT DEFAULT '' NOT NULL,
    walltime BIGINT,
    prerequisite_id BIGINT,
    published_attempt BIGINT,
    label TEXT DEFAULT '' NOT NULL,
    status TEXT NOT NULL,
    priority BIGINT DEFAULT 0 NOT NULL,
    epoch BIGINT DEFAULT 0 NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    leased_by TEXT,
    tries BIGINT DEFAULT 0 NOT NULL,
    failures BIGINT DEFAULT 0 NOT NULL,
    not_before TIMESTAMP WITH TIME ZONE,
    blocked_by TEXT,
    blocked_since TIMESTAMP WITH TIME ZONE,
    reason TEXT,
    actor TEXT,
    steps BIGINT DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT statement_timestamp() NOT NULL,
    CONSTRAINT jobs_pkey PRIMARY KEY (id),
    CONSTRAINT jobs_run_id_module_pass_part_key UNIQUE (run_id, module, pass, part),
    CONSTRAINT jobs_wanted_known CHECK (wanted IN ('', 'reset', 'hold', 'cancel')),
    CONSTRAINT jobs_validation_known CHECK (validation IN ('NONE', 'WAITING', 'YES', 'BAD')),
    CONSTRAINT jobs_result_known CHECK (result IN ('', 'OK', 'FAILED')),
    CONSTRAINT jobs_status_known CHECK (status IN ('waiting', 'blocked', 'new', 'submitting', 'pending', 'running', 'done', 'failed', 'cancelled')),
    CONSTRAINT jobs_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id),
    CONSTRAINT jobs_prerequisite_id_fkey FOREIGN KEY(prerequisite_id) REFERENCES jobs (id)
)""",
    """CREATE INDEX jobs_blocked ON jobs (site, priority DESC, id) WHERE status = 'blocked'""",
    """CREATE INDEX jobs_leased ON jobs (leased_by) WHERE lease_until IS NOT NULL""",
    """CREATE INDEX jobs_new ON jobs (site, priority DESC, id) WHERE status = 'new'""",
    """CREATE INDEX jobs_pending ON jobs (site, priority DESC, id) WHERE status = 'pending'""",
    """CREATE INDEX jobs_prerequisite ON jobs (prerequisite_id)""",
    """CREATE INDEX jobs_running ON jobs (site, priority DESC, id) WHERE status = 'running'""",
    """CREATE INDEX jobs_submitting ON jobs (site, priority DESC, id) WHERE status = 'submitting'""",
    """CREATE INDEX jobs_waiting ON jobs (site, priority DESC, id) WHERE status = 'waiting'""",
    """CREATE TABLE locks (
    id BIGSERIAL NOT NULL,
    type TEXT NOT NULL,
    run_id BIGINT,
    set_at TIMESTAMP WITH TIME ZONE NOT NULL,
    set_by TEXT NOT NULL,
    valid_from BIGINT,
    valid_to BIGINT,
    released_at TIMESTAMP WITH TIME ZONE,
    released_by TEXT,
    CONSTRAINT locks_pkey PRIMARY KEY (id),
    CONSTRAINT locks_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id)
)""",
    """CREATE TABLE attempts (
    id BIGSERIAL NOT NULL,
    job_id BIGINT NOT NULL,
    number BIGINT NOT NULL,
    token TEXT NOT NULL,
    site TEXT NOT NULL,
    directory TEXT NOT NULL,
    batch_id TEXT,
    submitted_at TIMESTAMP WITH TIME ZONE,
    started_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    exit_code BIGINT,
    signal BIGINT,
    verdict TEXT,
    words TEXT,
    state TEXT,
    pending_reason TEXT,
    host TEXT,
    cpu_seconds DOUBLE PRECISION,
    missed_since TIMESTAMP WITH TIME ZONE,
    misses BIGINT DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT statement_timestamp() NOT NULL,
    CONSTRAINT attempts_pkey PRIMARY KEY (id),
    CONSTRAINT attempts_job_id_number_key UNIQUE (job_id, number),
    CONSTRAINT attempts_token_key UNIQUE (token),
    CONSTRAINT attempts_job_id_fkey FOREIGN KEY(job_id) REFERENCES jobs (id)
)""",
    """CREATE INDEX attempts_open ON attempts (site, id) WHERE ended_at IS NULL""",
    """CREATE TABLE copies (
    id BIGSERIAL NOT NULL,
    run_id BIGINT NOT NULL,
    job_id BIGINT,
    bundle_id BIGINT,
    storage TEXT NOT NULL,
    path TEXT NOT NULL,
    form TEXT DEFAULT 'plain' NOT NULL,
    nbytes BIGINT,
    nfiles BIGINT,
    manifest TEXT,
    wanted BOOLEAN DEFAULT true NOT NULL,
    verified_at TIMESTAMP WITH TIME ZONE,
    status TEXT NOT NULL,
    priority BIGINT DEFAULT 0 NOT NULL,
    epoch BIGINT DEFAULT 0 NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    leased_by TEXT,
    tries BIGINT DEFAULT 0 NOT NULL,
    failures BIGINT DEFAULT 0 NOT NULL,
    not_before TIMESTAMP WITH TIME ZONE,
    blocked_by TEXT,
    blocked_since TIMESTAMP WITH TIME ZONE,
    reason TEXT,
    actor TEXT,
    steps BIGINT DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT statement_timestamp() NOT NULL,
    CONSTRAINT copies_pkey PRIMARY KEY (id),
    CONSTRAINT copies_form_known CHECK (form IN ('plain', 'compressed', 'bundled')),
    CONSTRAINT copies_status_known CHECK (status IN ('absent', 'writing', 'verified', 'suspect', 'deleting')),
    CONSTRAINT copies_run_id_fkey FOREIGN KEY(run_id) REFERENCES runs (id),
    CONSTRAINT copies_job_id_fkey FOREIGN KEY(job_id) REFERENCES jobs (id),
    CONSTRAINT copies_bundle_id_fkey FOREIGN KEY(bundle_id) REFERENCES bundles (id),
    CONSTRAINT copies_manifest_fkey FOREIGN KEY(manifest) REFERENCES manifests (digest)
)""",
    """CREATE INDEX copies_bundle_id ON copies (bundle_id)""",
    """CREATE INDEX copies_leased ON copies (leased_by) WHERE lease_until IS NOT NULL""",
    """CREATE INDEX copies_missing ON copies (storage, id) WHERE status = 'absent' AND wanted""",
    """CREATE INDEX copies_moving ON copies (storage, status, id) WHERE status IN ('writing', 'suspect', 'deleting')""",
    """CREATE UNIQUE INDEX copies_output_key ON copies (job_id, storage, form) WHERE job_id IS NOT NULL""",
    """CREATE UNIQUE INDEX copies_raw_key ON copies (run_id, storage, form) WHERE job_id IS NULL""",
    """CREATE INDEX copies_raw_there ON copies (storage, run_id) WHERE status = 'verified' AND wanted AND form = 'plain' AND job_id IS NULL""",
    """CREATE INDEX copies_run_id ON copies (run_id)""",
    """CREATE INDEX copies_there ON copies (storage, verified_at) WHERE status = 'verified'""",
    """CREATE INDEX copies_unwanted ON copies (storage, id) WHERE NOT wanted AND status = 'verified'""",
    """CREATE TABLE receipts (
    id BIGSERIAL NOT NULL,
    copy_id BIGINT NOT NULL,
    opened_at TIMESTAMP WITH TIME ZONE NOT NULL,
    closed_at TIMESTAMP WITH TIME ZONE,
    outcome TEXT DEFAULT '' NOT NULL,
    rule TEXT NOT NULL,
    reason TEXT,
    checks JSONB DEFAULT '[]' NOT NULL,
    free_before BIGINT,
    free_after BIGINT,
    actor TEXT NOT NULL,
    CONSTRAINT receipts_pkey PRIMARY KEY (id),
    CONSTRAINT receipts_outcome_known CHECK (outcome IN ('', 'removed', 'aborted')),
    CONSTRAINT receipts_copy_id_fkey FOREIGN KEY(copy_id) REFERENCES copies (id)
)""",
    """CREATE INDEX receipts_copy_id ON receipts (copy_id)""",
    """CREATE UNIQUE INDEX receipts_open ON receipts (copy_id) WHERE closed_at IS NULL""",
    """CREATE TABLE pins (
    receipt_id BIGINT NOT NULL,
    copy_id BIGINT NOT NULL,
    CONSTRAINT pins_pkey PRIMARY KEY (receipt_id, copy_id),
    CONSTRAINT pins_receipt_id_fkey FOREIGN KEY(receipt_id) REFERENCES receipts (id),
    CONSTRAINT pins_copy_id_fkey FOREIGN KEY(copy_id) REFERENCES copies (id)
)""",
    """CREATE INDEX pins_copy_id ON pins (copy_id)""",
    """CREATE STATISTICS copies_where (mcv) ON storage, status, wanted FROM copies""",
    """CREATE FUNCTION ondeck_illegal_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'illegal step of %: % to %', TG_TABLE_NAME, OLD.status, NEW.status
    USING ERRCODE = 'check_violation', HINT = TG_ARGV[0];
END $$""",
    """CREATE FUNCTION ondeck_birth() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)
  SELECT TG_TABLE_NAME, n.id, NULL, n.status, clock_timestamp(), coalesce(n.actor, 'by hand'), n.reason
  FROM new_rows n ORDER BY n.id;
  IF FOUND THEN PERFORM pg_notify('ondeck', TG_TABLE_NAME); END IF;
  RETURN NULL;
END $$""",
    """CREATE FUNCTION ondeck_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO transitions (table_name, row_id, source, "to", at, actor, reason)
  SELECT TG_TABLE_NAME, n.id, o.status, n.status, clock_timestamp(),
    CASE WHEN n.steps > o.steps THEN coalesce(n.actor, 'by hand') ELSE 'by hand' END,
    CASE WHEN n.steps > o.steps THEN n.reason END
  FROM new_rows n JOIN old_rows o ON o.id = n.id
  WHERE o.status <> n.status OR n.steps > o.steps ORDER BY n.id;
  IF FOUND THEN PERFORM pg_notify('ondeck', TG_TABLE_NAME); END IF;
  RETURN NULL;
END $$""",
    """CREATE FUNCTION ondeck_id() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a row keeps its id: its history hangs on it' USING ERRCODE = 'check_violation';
END $$""",
    """CREATE FUNCTION ondeck_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the history is append-only';
END $$""",
    """CREATE FUNCTION ondeck_pinned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM pins JOIN receipts ON receipts.id = pins.receipt_id
             WHERE pins.copy_id = OLD.id AND receipts.closed_at IS NULL) THEN
    RAISE EXCEPTION 'a witness of an open receipt stays wanted' USING ERRCODE = 'check_violation';
  END IF;
  RETURN NEW;
END $$""",
    """CREATE TRIGGER runs_legal BEFORE UPDATE OF status ON runs FOR EACH ROW
  WHEN (OLD.status <> NEW.status AND NOT (OLD.status = 'acquired' AND NEW.status IN ('transferring', 'ondeck', 'failed', 'cancelled') OR OLD.status = 'transferring' AND NEW.status IN ('ondeck', 'acquired', 'failed', 'cancelled') OR OLD.status = 'ondeck' AND NEW.status IN ('processing', 'processed', 'failed', 'cancelled') OR OLD.status = 'processing' AND NEW.status IN ('processed', 'failed', 'cancelled') OR OLD.status = 'processed' AND NEW.status IN ('archived', 'processing', 'cancelled') OR OLD.status = 'archived' AND NEW.status IN ('processing') OR OLD.status = 'failed' AND NEW.status IN ('processing', 'acquired', 'ondeck', 'cancelled') OR OLD.status = 'cancelled' AND NEW.status IN ('acquired', 'ondeck', 'processing')))
  EXECUTE FUNCTION ondeck_illegal_step('acquired -> transferring, ondeck, failed, cancelled; transferring -> ondeck, acquired, failed, cancelled; ondeck -> processing, processed, failed, cancelled; processing -> processed, failed, cancelled; processed -> archived, processing, cancelled; archived -> processing; failed -> processing, acquired, ondeck, cancelled; cancelled -> acquired, ondeck, processing')""",
    """CREATE TRIGGER runs_birth AFTER INSERT ON runs REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION ondeck_birth()""",
    """CREATE TRIGGER runs_history AFTER UPDATE ON runs REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION ondeck_history()""",
    """CREATE TRIGGER runs_id BEFORE UPDATE OF id ON runs FOR EACH ROW
  WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION ondeck_id()""",
    """CREATE TRIGGER jobs_legal BEFORE UPDATE OF status ON jobs FOR EACH ROW
  WHEN (OLD.status <> NEW.status AND NOT (OLD.status = 'waiting' AND NEW.status IN ('blocked', 'new', 'cancelled', 'done', 'failed') OR OLD.status = 'blocked' AND NEW.status IN ('new', 'cancelled', 'waiting') OR OLD.status = 'new' AND NEW.status IN ('blocked', 'submitting', 'waiting', 'cancelled') OR OLD.status = 'submitting' AND NEW.status IN ('pending', 'running', 'done', 'failed', 'cancelled', 'new', 'waiting') OR OLD.status = 'pending' AND NEW.status IN ('running', 'done', 'failed', 'cancelled', 'new', 'waiting') OR OLD.status = 'running' AND NEW.status IN ('done', 'failed', 'cancelled', 'new', 'waiting') OR OLD.status = 'done' AND NEW.status IN ('new', 'blocked', 'waiting') OR OLD.status = 'failed' AND NEW.status IN ('new', 'blocked', 'waiting', 'cancelled') OR OLD.status = 'cancelled' AND NEW.status IN ('new', 'blocked', 'waiting')))
  EXECUTE FUNCTION ondeck_illegal_step('waiting -> blocked, new, cancelled, done, failed; blocked -> new, cancelled, waiting; new -> blocked, submitting, waiting, cancelled; submitting -> pending, running, done, failed, cancelled, new, waiting; pending -> running, done, failed, cancelled, new, waiting; running -> done, failed, cancelled, new, waiting; done -> new, blocked, waiting; failed -> new, blocked, waiting, cancelled; cancelled -> new, blocked, waiting')""",
    """CREATE TRIGGER jobs_birth AFTER INSERT ON jobs REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION ondeck_birth()""",
    """CREATE TRIGGER jobs_history AFTER UPDATE ON jobs REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION ondeck_history()""",
    """CREATE TRIGGER jobs_id BEFORE UPDATE OF id ON jobs FOR EACH ROW
  WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION ondeck_id()""",
    """CREATE TRIGGER copies_legal BEFORE UPDATE OF status ON copies FOR EACH ROW
  WHEN (OLD.status <> NEW.status AND NOT (OLD.status = 'absent' AND NEW.status IN ('writing') OR OLD.status = 'writing' AND NEW.status IN ('verified', 'absent') OR OLD.status = 'verified' AND NEW.status IN ('suspect', 'deleting') OR OLD.status = 'suspect' AND NEW.status IN ('verified', 'writing', 'absent') OR OLD.status = 'deleting' AND NEW.status IN ('absent', 'suspect')))
  EXECUTE FUNCTION ondeck_illegal_step('absent -> writing; writing -> verified, absent; verified -> suspect, deleting; suspect -> verified, writing, absent; deleting -> absent, suspect')""",
    """CREATE TRIGGER copies_birth AFTER INSERT ON copies REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION ondeck_birth()""",
    """CREATE TRIGGER copies_history AFTER UPDATE ON copies REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION ondeck_history()""",
    """CREATE TRIGGER copies_id BEFORE UPDATE OF id ON copies FOR EACH ROW
  WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION ondeck_id()""",
    """CREATE TRIGGER bundles_legal BEFORE UPDATE OF status ON bundles FOR EACH ROW
  WHEN (OLD.status <> NEW.status AND NOT (OLD.status = 'open' AND NEW.status IN ('writing') OR OLD.status = 'writing' AND NEW.status IN ('written', 'open') OR OLD.status = 'written' AND NEW.status IN ('verified', 'open')))
  EXECUTE FUNCTION ondeck_illegal_step('open -> writing; writing -> written, open; written -> verified, open; verified -> nothing')""",
    """CREATE TRIGGER bundles_birth AFTER INSERT ON bundles REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION ondeck_birth()""",
    """CREATE TRIGGER bundles_history AFTER UPDATE ON bundles REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION ondeck_history()""",
    """CREATE TRIGGER bundles_id BEFORE UPDATE OF id ON bundles FOR EACH ROW
  WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION ondeck_id()""",
    """CREATE TRIGGER inbox_legal BEFORE UPDATE OF status ON inbox FOR EACH ROW
  WHEN (OLD.status <> NEW.status AND NOT (OLD.status = 'new' AND NEW.status IN ('done', 'ignored')))
  EXECUTE FUNCTION ondeck_illegal_step('new -> done, ignored; done -> nothing; ignored -> nothing')""",
    """CREATE TRIGGER inbox_birth AFTER INSERT ON inbox REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION ondeck_birth()""",
    """CREATE TRIGGER inbox_history AFTER UPDATE ON inbox REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION ondeck_history()""",
    """CREATE TRIGGER inbox_id BEFORE UPDATE OF id ON inbox FOR EACH ROW
  WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION ondeck_id()""",
    """CREATE TRIGGER outbox_legal BEFORE UPDATE OF status ON outbox FOR EACH ROW
  WHEN (OLD.status <> NEW.status AND NOT (OLD.status = 'queued' AND NEW.status IN ('sending') OR OLD.status = 'sending' AND NEW.status IN ('sent', 'queued', 'failed') OR OLD.status = 'failed' AND NEW.status IN ('queued')))
  EXECUTE FUNCTION ondeck_illegal_step('queued -> sending; sending -> sent, queued, failed; sent -> nothing; failed -> queued')""",
    """CREATE TRIGGER outbox_birth AFTER INSERT ON outbox REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION ondeck_birth()""",
    """CREATE TRIGGER outbox_history AFTER UPDATE ON outbox REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION ondeck_history()""",
    """CREATE TRIGGER outbox_id BEFORE UPDATE OF id ON outbox FOR EACH ROW
  WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION ondeck_id()""",
    """CREATE TRIGGER transitions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON transitions
  FOR EACH STATEMENT EXECUTE FUNCTION ondeck_append_only()""",
    """CREATE TRIGGER copies_pinned BEFORE UPDATE OF wanted ON copies FOR EACH ROW
  WHEN (OLD.wanted AND NOT NEW.wanted) EXECUTE FUNCTION ondeck_pinned()""",
]

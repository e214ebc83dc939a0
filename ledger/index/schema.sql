-- The query index: a projection of the journal, thrown away and rebuilt at
-- will. docs/spec/index.md. Times are microseconds since 1970, UTC; digests are
-- the 32 raw bytes; every row carries the sequence of the record it comes from.

CREATE TABLE applied (
	one      INTEGER PRIMARY KEY CHECK (one = 1),
	format   BIGINT NOT NULL, -- of these tables
	sequence BIGINT NOT NULL  -- of the newest record that is in them
);

CREATE TABLE record (
	sequence  INTEGER PRIMARY KEY,
	time      BIGINT NOT NULL,
	kind      TEXT   NOT NULL,
	canonical BLOB   NOT NULL -- the record itself
);
CREATE INDEX record_time ON record (time, sequence);

CREATE TABLE product (
	sequence   INTEGER PRIMARY KEY,
	product    TEXT NOT NULL,
	repository TEXT NOT NULL
);
CREATE INDEX product_repository ON product (repository, sequence);

CREATE TABLE policy (
	sequence INTEGER PRIMARY KEY,
	version  BIGINT NOT NULL,
	envelope BLOB   NOT NULL
);

-- Who the trust policy of a sequence says a key belongs to.
CREATE TABLE signer (
	sequence BIGINT NOT NULL,
	key      BLOB   NOT NULL,
	name     TEXT   NOT NULL,
	PRIMARY KEY (key, sequence, name)
);

CREATE TABLE manifest (
	sequence      INTEGER PRIMARY KEY,
	repository    TEXT NOT NULL,
	digest        BLOB NOT NULL,
	media_type    TEXT NOT NULL,
	artifact_type TEXT NOT NULL,
	subject       BLOB, -- NULL: none
	file          BLOB, -- its sole layer, or an environment's config; NULL: none
	by            TEXT NOT NULL
);
CREATE INDEX manifest_digest ON manifest (digest, repository, sequence);

CREATE TABLE deletion (
	sequence   INTEGER PRIMARY KEY,
	repository TEXT NOT NULL,
	digest     BLOB, -- NULL where a tag was deleted
	tag        TEXT NOT NULL,
	by         TEXT NOT NULL
);
CREATE INDEX deletion_digest ON deletion (digest, repository, sequence);

CREATE TABLE statement (
	sequence   INTEGER PRIMARY KEY,
	repository TEXT   NOT NULL,
	product    TEXT   NOT NULL, -- as the predicate names it; '' where its type names none
	type       TEXT   NOT NULL,
	subject    BLOB   NOT NULL,
	file       BLOB,
	payload    BLOB   NOT NULL,
	bundle     BLOB   NOT NULL,
	referrer   BLOB, -- NULL for a bundle sent to the API
	signer     BLOB   NOT NULL,
	builder    TEXT   NOT NULL,
	signed     BIGINT NOT NULL, -- time of the signed timestamp
	log_index  BIGINT NOT NULL,
	by         TEXT   NOT NULL
);
CREATE INDEX statement_subject ON statement (subject, sequence);
CREATE INDEX IF NOT EXISTS statement_leaf ON statement (log_index, sequence); -- older files get it when they are opened

-- What a version of a channel says; who said it is in statement.
CREATE TABLE channel (
	sequence  INTEGER PRIMARY KEY,
	product   TEXT NOT NULL,
	name      TEXT NOT NULL,
	predicate BLOB NOT NULL -- canonical JSON
);
CREATE INDEX channel_name ON channel (product, name, sequence);

CREATE TABLE host (
	sequence INTEGER PRIMARY KEY,
	host     TEXT NOT NULL,
	name     TEXT NOT NULL,
	key      BLOB NOT NULL, -- sha256 of its SPKI DER
	state    TEXT NOT NULL,
	by       TEXT NOT NULL  -- '' for the host itself
);
CREATE INDEX host_host ON host (host, sequence);

CREATE TABLE host_product (
	sequence BIGINT NOT NULL,
	product  TEXT   NOT NULL,
	PRIMARY KEY (sequence, product)
);

CREATE TABLE host_record (
	sequence INTEGER PRIMARY KEY,
	host     TEXT   NOT NULL,
	number   BIGINT NOT NULL, -- the host's own sequence
	envelope BLOB   NOT NULL
);
CREATE INDEX host_record_host ON host_record (host, sequence);

CREATE TABLE running (
	sequence BIGINT NOT NULL, -- of the host_record
	position BIGINT NOT NULL,
	product  TEXT   NOT NULL,
	kind     TEXT   NOT NULL,
	digest   BLOB   NOT NULL,
	build_id TEXT   NOT NULL,
	PRIMARY KEY (sequence, position)
);

CREATE TABLE decision (
	sequence   INTEGER PRIMARY KEY,
	decision   TEXT   NOT NULL,
	host       TEXT   NOT NULL,
	repository TEXT   NOT NULL,
	product    TEXT   NOT NULL, -- the repository's product then; '' for none
	artifact   BLOB   NOT NULL,
	allow      BIGINT NOT NULL
);
CREATE INDEX decision_decision ON decision (decision);
CREATE INDEX decision_host     ON decision (host, sequence);
CREATE INDEX decision_product  ON decision (product, sequence);
CREATE INDEX decision_artifact ON decision (artifact, sequence);
CREATE INDEX decision_allow    ON decision (allow, sequence);

CREATE TABLE uses (
	sequence INTEGER PRIMARY KEY,
	decision TEXT   NOT NULL,
	uses     BIGINT NOT NULL
);
CREATE INDEX uses_decision ON uses (decision, sequence);

-- What the publisher of a base or a patch says of its environment.
CREATE TABLE claim (
	sequence    INTEGER PRIMARY KEY,
	repository  TEXT NOT NULL,
	subject     BLOB NOT NULL,
	environment BLOB NOT NULL,
	signer      BLOB NOT NULL
);
CREATE INDEX claim_subject ON claim (subject, repository, sequence);

CREATE TABLE rebuild (
	sequence          INTEGER PRIMARY KEY,
	repository        TEXT NOT NULL,
	subject           BLOB NOT NULL,
	environment       BLOB NOT NULL,
	result            TEXT NOT NULL,
	category          TEXT NOT NULL,
	explanation       TEXT NOT NULL,
	got               BLOB, -- NULL: nothing was compared
	code              BIGINT, -- 1: the code came out alike; NULL: not said
	output            BLOB,
	log               BLOB,
	normaliser        TEXT NOT NULL,
	normaliser_digest BLOB,
	run               TEXT NOT NULL
);
CREATE INDEX rebuild_subject ON rebuild (subject, repository, sequence);

CREATE TABLE adjudication (
	sequence   INTEGER PRIMARY KEY,
	repository TEXT NOT NULL,
	subject    BLOB NOT NULL,
	verdict    TEXT NOT NULL,
	reason     TEXT NOT NULL
);
CREATE INDEX adjudication_subject ON adjudication (subject, repository, sequence);

CREATE TABLE adjudication_output (
	sequence BIGINT NOT NULL,
	output   BLOB   NOT NULL,
	PRIMARY KEY (sequence, output)
);

CREATE INDEX manifest_type ON manifest (artifact_type, sequence);

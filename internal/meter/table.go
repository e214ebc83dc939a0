package meter

// A Metric is one family of numbers, as a scrape finds it.
type Metric struct {
	Name   string
	Type   string // "counter", "gauge" or "histogram"
	Labels []string
	Help   string
}

// Names of metrics that are not read from a [State].
const (
	requestsTotal   = "patchfitd_requests_total"
	requestDuration = "patchfitd_request_duration_seconds"
	limitsHit       = "patchfitd_limits_hit_total"
	collectedTotal  = "patchfitd_collected_total"
	collectedBytes  = "patchfitd_collected_bytes_total"
)

const (
	counter   = "counter"
	gauge     = "gauge"
	histogram = "histogram"
)

// Metrics lists every metric of ours there is: docs/spec/metrics.md. Those of
// the process and of Go's runtime come besides.
func Metrics() []Metric {
	return []Metric{
		{"patchfitd_build_info", gauge, []string{"version"}, "1, with the version of the program."},
		{"patchfitd_start_timestamp_seconds", gauge, nil, "When the server started; a sandbox may hide it from process_start_time_seconds."},
		{"patchfitd_ready", gauge, nil, "1 while the server can decide and record, as /readyz says."},
		{"patchfitd_read_errors", gauge, nil, "How many of the things below could not be asked for this scrape; they are missing or old."},

		{"patchfitd_damage_open", gauge, []string{"kind"}, "Objects whose stored bytes are damaged, neither repaired nor acknowledged."},
		{"patchfitd_damage_acknowledged", gauge, []string{"kind"}, "Damaged objects that somebody acknowledged."},
		{"patchfitd_damage_unlisted", gauge, nil, "Damaged objects beyond those the server keeps a list of."},
		{"patchfitd_damage_found_total", counter, []string{"kind"}, "Damaged objects ever found, over restarts, repaired ones too."},
		{"patchfitd_damage_last_seen_timestamp_seconds", gauge, nil, "When damage was last seen; 0: never."},

		{"patchfitd_scrub_interval_seconds", gauge, nil, "How often everything is read again; 0: never by itself."},
		{"patchfitd_scrub_running", gauge, nil, "1 while everything is being read."},
		{"patchfitd_scrub_objects", gauge, nil, "Objects read so far by the scrubbing that runs."},
		{"patchfitd_scrub_bytes", gauge, nil, "Bytes of those."},
		{"patchfitd_scrub_last_pass_timestamp_seconds", gauge, nil, "When everything had last been read from beginning to end; 0: never."},
		{"patchfitd_scrub_last_pass_seconds", gauge, nil, "How long that took."},
		{"patchfitd_scrub_last_pass_objects", gauge, nil, "Objects it read."},
		{"patchfitd_scrub_last_pass_bytes", gauge, nil, "Bytes it read."},
		{"patchfitd_scrub_last_pass_damaged", gauge, nil, "Objects it found damaged."},
		{"patchfitd_scrub_last_pass_unread", gauge, nil, "Objects that the disk or the bucket did not give out to it."},

		{"patchfitd_journal_up", gauge, nil, "1 while the journal takes records; 0: it is down, and no allow goes out."},
		{"patchfitd_journal_records_total", counter, nil, "Records in the journal."},
		{"patchfitd_journal_unsealed_records", gauge, nil, "Records that are not sealed in the log yet."},
		{"patchfitd_journal_seal_lag_seconds", gauge, nil, "Age of the oldest record that is not sealed; 0: all are."},
		{"patchfitd_log_entries_total", counter, nil, "Entries of the log that its last checkpoint has."},
		{"patchfitd_log_checkpoint_timestamp_seconds", gauge, nil, "When the last checkpoint was published."},
		{"patchfitd_log_unpublished_seconds", gauge, nil, "How long a signed checkpoint waits to be published, for witnesses or the disk; 0: none does."},
		{"patchfitd_index_lag_records", gauge, nil, "Records that the index of queries does not have yet."},

		{"patchfitd_witness_requests_total", counter, []string{"witness", "outcome"}, "Requests for a cosignature, by how the witness answered."},
		{"patchfitd_witness_cosigned_timestamp_seconds", gauge, []string{"witness"}, "When the witness last cosigned a checkpoint; 0: not since the server started."},
		{"patchfitd_tuf_expiry_timestamp_seconds", gauge, []string{"role"}, "When the metadata of a role in the TUF repository is over; 0: there is none that counts. Without a repository it is missing."},

		{"patchfitd_decisions_total", counter, []string{"outcome", "reason"}, "Answers to hosts that asked for bytes: allow, deny by leading reason, unrecorded (an allow that could not be recorded and so was none)."},

		{"patchfitd_rebuild_disputes", gauge, []string{"pauses"}, "Bases and patches of which a credible rebuild came out otherwise, undecided, by whether that pauses pulls now."},

		{"patchfitd_uploads_open", gauge, nil, "Uploads of blobs under way."},
		{"patchfitd_stored_bytes", gauge, []string{"product"}, "Bytes of the blobs in a product's repository."},
		{"patchfitd_quota_bytes", gauge, nil, "How many bytes of blobs one repository may have; 0: no quota."},
		{"patchfitd_disk_free_bytes", gauge, nil, "Bytes free on the disk of the data directory."},
		{"patchfitd_disk_size_bytes", gauge, nil, "Bytes of that disk."},
		{"patchfitd_disk_low", gauge, nil, "1 while uploads are refused because too little is free."},
		{collectedTotal, counter, []string{"what"}, "What retention hid and collection removed: tags, manifests, blobs (taken out of a repository), objects (bytes gone)."},
		{collectedBytes, counter, nil, "Bytes of the objects that are gone."},

		{"patchfitd_notifications_pending_records", gauge, []string{"endpoint"}, "Records that an endpoint of notifications has not been taken through yet."},

		{requestsTotal, counter, []string{"route", "code"}, "Requests by class of route and status of the answer; code aborted: the connection was broken off."},
		{requestDuration, histogram, []string{"route"}, "Seconds from the header of a request to the end of its answer."},
		{limitsHit, counter, []string{"limit"}, "Requests and connections refused for being too many."},
	}
}

package meter

import (
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// A collector says everything but histograms.
type collector struct {
	meter *Meter
	mu    sync.Mutex // one scrape asks the rooms at a time
	descs map[string]*prometheus.Desc
	types map[string]prometheus.ValueType
}

func newCollector(m *Meter) *collector {
	c := &collector{meter: m, descs: make(map[string]*prometheus.Desc), types: make(map[string]prometheus.ValueType)}
	for _, m := range Metrics() {
		if m.Type == histogram {
			continue
		}
		c.descs[m.Name] = prometheus.NewDesc(m.Name, m.Help, m.Labels, nil)
		c.types[m.Name] = prometheus.GaugeValue
		if m.Type == counter {
			c.types[m.Name] = prometheus.CounterValue
		}
	}
	return c
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, name := range slices.Sorted(maps.Keys(c.descs)) {
		to <- c.descs[name]
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.meter.config.Read()
	out := emission{c, to, time.Now()}
	out.say("patchfitd_build_info", 1, c.meter.config.Version)
	out.at("patchfitd_start_timestamp_seconds", c.meter.started)
	out.yes("patchfitd_ready", s.Ready)
	out.say("patchfitd_read_errors", float64(s.Errors))
	out.damage(&s.Damage)
	out.scrub(&s.Scrub)
	out.ledger(&s)
	out.trust(&s)
	out.decisions(&s.Decisions)
	each(out, "patchfitd_rebuild_disputes", s.Disputes)
	out.room(&s)
	out.counted(c.meter)
}

// An emission is one scrape's.
type emission struct {
	*collector
	to  chan<- prometheus.Metric
	now time.Time
}

func (e emission) say(name string, value float64, labels ...string) {
	e.to <- prometheus.MustNewConstMetric(e.descs[name], e.types[name], value, labels...) // fails for another number of labels than the table has
}

func (e emission) yes(name string, is bool) {
	value := 0.0
	if is {
		value = 1
	}
	e.say(name, value)
}

// at says a time; 0 for none.
func (e emission) at(name string, t time.Time, labels ...string) {
	if t.IsZero() {
		e.say(name, 0, labels...)
		return
	}
	e.say(name, float64(t.UnixMilli())/1000, labels...)
}

// since returns the seconds since a time; 0 for none.
func (e emission) since(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(0, e.now.Sub(t).Seconds())
}

// each says one value for each of some labels.
func each[N int64 | uint64](e emission, name string, values map[string]N, before ...string) {
	for label, n := range values {
		e.say(name, float64(n), append(slices.Clip(before), label)...)
	}
}

func (e emission) damage(d *Damage) {
	each(e, "patchfitd_damage_open", d.Open)
	each(e, "patchfitd_damage_acknowledged", d.Acknowledged)
	each(e, "patchfitd_damage_found_total", d.Found)
	e.say("patchfitd_damage_unlisted", float64(d.Unlisted))
	e.at("patchfitd_damage_last_seen_timestamp_seconds", d.Last)
}

func (e emission) scrub(s *Scrub) {
	e.say("patchfitd_scrub_interval_seconds", s.Every.Seconds())
	e.yes("patchfitd_scrub_running", s.Running)
	e.say("patchfitd_scrub_objects", float64(s.Objects))
	e.say("patchfitd_scrub_bytes", float64(s.Bytes))
	e.at("patchfitd_scrub_last_pass_timestamp_seconds", s.Last.Ended)
	e.say("patchfitd_scrub_last_pass_seconds", s.Last.Ended.Sub(s.Last.Started).Seconds())
	e.say("patchfitd_scrub_last_pass_objects", float64(s.Last.Objects))
	e.say("patchfitd_scrub_last_pass_bytes", float64(s.Last.Bytes))
	e.say("patchfitd_scrub_last_pass_damaged", float64(s.Last.Damaged))
	e.say("patchfitd_scrub_last_pass_unread", float64(s.Last.Unread))
}

func (e emission) ledger(s *State) {
	e.yes("patchfitd_journal_up", s.Journal.Up)
	e.say("patchfitd_journal_records_total", float64(s.Journal.Records))
	e.say("patchfitd_journal_unsealed_records", float64(s.Journal.Records-s.Journal.Sealed))
	e.say("patchfitd_journal_seal_lag_seconds", e.since(s.Journal.Oldest))
	e.say("patchfitd_log_entries_total", float64(s.Log.Entries))
	e.at("patchfitd_log_checkpoint_timestamp_seconds", s.Log.Published)
	e.say("patchfitd_log_unpublished_seconds", e.since(s.Log.Unpublished))
	e.say("patchfitd_index_lag_records", float64(max(0, s.Journal.Records-s.Indexed)))
	each(e, "patchfitd_notifications_pending_records", s.Pending)
}

func (e emission) trust(s *State) {
	for _, w := range s.Witnesses {
		each(e, "patchfitd_witness_requests_total", w.Requests, w.Name)
		e.at("patchfitd_witness_cosigned_timestamp_seconds", w.Cosigned, w.Name)
	}
	for role, t := range s.Trust {
		e.at("patchfitd_tuf_expiry_timestamp_seconds", t, role)
	}
}

func (e emission) decisions(d *Decisions) {
	const name = "patchfitd_decisions_total"
	e.say(name, float64(d.Allowed), "allow", "")
	e.say(name, float64(d.Unrecorded), "unrecorded", "")
	each(e, name, d.Denied, "deny")
}

func (e emission) room(s *State) {
	e.say("patchfitd_uploads_open", float64(s.Uploads))
	each(e, "patchfitd_stored_bytes", s.Stored)
	e.say("patchfitd_quota_bytes", float64(s.Quota))
	e.say("patchfitd_disk_free_bytes", float64(s.DiskFree))
	e.say("patchfitd_disk_size_bytes", float64(s.DiskSize))
	e.yes("patchfitd_disk_low", s.DiskLow)
}

// counted says what the meter counts itself. A status that no answer had is
// left out.
func (e emission) counted(m *Meter) {
	for r := range m.requests {
		c := &m.requests[r]
		for i := range c.byCode {
			if n := c.byCode[i].Load(); n > 0 {
				e.say(requestsTotal, float64(n), routeNames[r], strconv.Itoa(leastCode+i))
			}
		}
		e.say(requestsTotal, float64(c.aborted.Load()), routeNames[r], "aborted")
	}
	for l := range m.limits {
		e.say(limitsHit, float64(m.limits[l].Load()), limitNames[l])
	}
	for i, what := range []string{"tags", "manifests", "blobs", "objects"} {
		e.say(collectedTotal, float64(m.collected[i].Load()), what)
	}
	e.say(collectedBytes, float64(m.collected[4].Load()))
}

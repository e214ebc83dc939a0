package serverconfig

import (
	"fmt"
	"strconv"
	"time"
)

// Limits are how much and how fast others may, and how slowly. What is zero is
// left out, and has its default: see [Limits.Whole]. docs/spec/limits.md.
type Limits struct {
	Connections         Count    `json:"connections,omitzero"`         // at once
	ConnectionsPerPlace Count    `json:"connectionsPerPlace,omitzero"` // of them from one address
	Streams             Count    `json:"streams,omitzero"`             // HTTP/2, in one connection
	HeaderBytes         Count    `json:"headerBytes,omitzero"`
	HeaderTime          Duration `json:"headerTime,omitzero"`
	IdleTime            Duration `json:"idleTime,omitzero"`
	RequestTime         Duration `json:"requestTime,omitzero"` // of a whole one outside /v2/
	AnswerTime          Duration `json:"answerTime,omitzero"`  // to take its answer
	BodyStall           Duration `json:"bodyStall,omitzero"`
	BodyRate            Count    `json:"bodyRate,omitzero"` // bytes a second …
	BodyWindow          Duration `json:"bodyWindow,omitzero"`
	AnswerStall         Duration `json:"answerStall,omitzero"`

	Token     Rate `json:"token,omitzero"`     // exchanges at /token from one address
	Host      Rate `json:"host,omitzero"`      // requests of one host
	Publisher Rate `json:"publisher,omitzero"` // changes by anybody else
	Auditor   Rate `json:"auditor,omitzero"`   // queries of one

	Log            Rate `json:"log,omitzero"`            // entries for the log from one address
	LogTotal       Rate `json:"logTotal,omitzero"`       // from all
	Timestamp      Rate `json:"timestamp,omitzero"`      // timestamps for one address
	TimestampTotal Rate `json:"timestampTotal,omitzero"` // for all

	AuditTime Duration `json:"auditTime,omitzero"` // of one query
	AuditPage Count    `json:"auditPage,omitzero"` // rows

	// TrustedProxies are networks of proxies that say truly whom they speak for.
	TrustedProxies []Network `json:"trustedProxies,omitzero"`
}

// A Rate is so many a second, after a burst.
type Rate struct {
	PerSecond Count `json:"perSecond,omitzero"`
	Burst     Count `json:"burst,omitzero"`
}

// Whole returns l with every default in its place.
func (l Limits) Whole() Limits {
	for _, c := range []struct {
		limit     *Count
		otherwise Count
	}{
		{&l.Connections, 4096}, {&l.ConnectionsPerPlace, 64}, {&l.Streams, 100}, {&l.HeaderBytes, 16 << 10}, {&l.BodyRate, 16 << 10},
		{&l.Token.PerSecond, 5}, {&l.Token.Burst, 100}, {&l.Host.PerSecond, 20}, {&l.Host.Burst, 100},
		{&l.Publisher.PerSecond, 10}, {&l.Publisher.Burst, 2000}, {&l.Auditor.PerSecond, 5}, {&l.Auditor.Burst, 50}, {&l.AuditPage, 500},
		{&l.Log.PerSecond, 10}, {&l.Log.Burst, 300}, {&l.LogTotal.PerSecond, 100}, {&l.LogTotal.Burst, 2000},
		{&l.Timestamp.PerSecond, 10}, {&l.Timestamp.Burst, 300}, {&l.TimestampTotal.PerSecond, 100}, {&l.TimestampTotal.Burst, 2000},
	} {
		if *c.limit == 0 {
			*c.limit = c.otherwise
		}
	}
	for _, d := range []struct {
		limit     *Duration
		otherwise time.Duration
	}{
		{&l.HeaderTime, 5 * time.Second}, {&l.IdleTime, time.Minute}, {&l.RequestTime, 30 * time.Second}, {&l.AnswerTime, time.Minute},
		{&l.BodyStall, 30 * time.Second}, {&l.BodyWindow, time.Minute}, {&l.AnswerStall, time.Minute},
		{&l.AuditTime, 30 * time.Second},
	} {
		if *d.limit == 0 {
			*d.limit = Duration(d.otherwise)
		}
	}
	return l
}

func (c *Config) checkLimits() error {
	if l := c.Limits.Whole(); l.AuditTime >= l.RequestTime+l.AnswerTime {
		return fmt.Errorf("limits.auditTime %s is not below requestTime and answerTime together: its answers would not arrive", time.Duration(l.AuditTime))
	}
	for name, r := range c.Limits.rates() {
		if max(r.PerSecond, r.Burst) > maxRate {
			return fmt.Errorf("limits.%s is above %d, which limits nothing", name, maxRate)
		}
	}
	if len(c.Limits.TrustedProxies) > maxNetworks {
		return fmt.Errorf("limits.trustedProxies: %d networks are more than %d", len(c.Limits.TrustedProxies), maxNetworks)
	}
	return nil
}

// rates returns the rates by their keys.
func (l *Limits) rates() map[string]Rate {
	return map[string]Rate{
		"token": l.Token, "host": l.Host, "publisher": l.Publisher, "auditor": l.Auditor,
		"log": l.Log, "logTotal": l.LogTotal, "timestamp": l.Timestamp, "timestampTotal": l.TimestampTotal,
	}
}

// maxRate is the highest rate, and the largest burst.
const maxRate = 1_000_000

// A Count is a whole number above zero: who wants the default leaves the key
// out, and nothing is without a limit by a slip.
type Count int64

// UnmarshalJSON reads a number from 1.
func (c *Count) UnmarshalJSON(text []byte) error {
	n, err := strconv.ParseInt(string(text), 10, 54)
	if err != nil {
		return fmt.Errorf("%.40s is not a whole number", text)
	}
	if n < 1 {
		return fmt.Errorf("%d is not above zero; leave the key out for the default", n)
	}
	*c = Count(n)
	return nil
}

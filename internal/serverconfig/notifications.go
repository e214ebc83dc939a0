package serverconfig

import (
	"fmt"
	"path/filepath"
	"time"
)

// MaxEndpoints is how many endpoints there may be.
const MaxEndpoints = 16

// A Notification is an endpoint that is told what was acknowledged
// (docs/spec/notifications.md). What is wrong with its name, URL or types the
// room that tells it says.
type Notification struct {
	Name        string   `json:"name"`
	URL         string   `json:"url"`
	Secrets     []string `json:"secrets"` // files
	Types       []string `json:"types,omitzero"`
	Products    []string `json:"products,omitzero"`
	CA          string   `json:"ca,omitzero"` // file
	Timeout     Duration `json:"timeout,omitzero"`
	GiveUpAfter Duration `json:"giveUpAfter,omitzero"`
}

func (c *Config) checkNotifications() error {
	if len(c.Notifications) > MaxEndpoints {
		return fmt.Errorf("notifications: %d endpoints are more than %d", len(c.Notifications), MaxEndpoints)
	}
	for _, n := range c.Notifications {
		files := n.Secrets
		if n.CA != "" {
			files = append(files[:len(files):len(files)], n.CA)
		}
		for _, file := range files {
			if !filepath.IsAbs(file) {
				return fmt.Errorf("notifications: endpoint %.80q: %q is not an absolute path", n.Name, file)
			}
		}
	}
	return nil
}

// A Duration is written as Go writes one: 90s, 5m, 1h30m. It is never zero or
// less: who wants the default leaves the key out.
type Duration time.Duration

// UnmarshalText reads a duration above zero.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%.40q is not a duration, as 90s or 5m", text)
	}
	if v <= 0 {
		return fmt.Errorf("%s is not above zero; leave the key out for the default", text)
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

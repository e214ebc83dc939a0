package meter

import "time"

// A State is what the rooms of a server say at one moment.
type State struct {
	Ready  bool
	Errors int // of rooms that did not answer

	Damage Damage
	Scrub  Scrub

	Journal Journal
	Log     Log
	Indexed int64 // the newest record that the index has

	Witnesses []Witness
	Trust     map[string]time.Time // when the TUF repository's metadata is over, by role; nil: there is none

	Decisions Decisions
	Disputes  map[string]int64 // artifacts in dispute, by whether that pauses pulls now: "yes", "no"

	Uploads  int              // open
	Stored   map[string]int64 // bytes by product
	Quota    int64            // bytes of one repository; 0: none
	DiskFree int64            // bytes
	DiskSize int64
	DiskLow  bool

	Pending map[string]int64 // records, by endpoint of notifications
}

// Damage is what is known of damaged bytes. Every kind is in each map.
type Damage struct {
	Open, Acknowledged, Found map[string]int64
	Unlisted                  int64
	Last                      time.Time
}

// Scrub is how reading everything again goes.
type Scrub struct {
	Every          time.Duration // 0: it is not done
	Running        bool
	Objects, Bytes int64 // so far
	Last           Pass
}

// A Pass is a scrubbing that came to its end.
type Pass struct {
	Started, Ended                  time.Time
	Objects, Bytes, Damaged, Unread int64
}

// Journal is how the journal is.
type Journal struct {
	Up      bool
	Records int64
	Sealed  int64
	Oldest  time.Time // record that is not sealed
}

// Log is what the last checkpoint says.
type Log struct {
	Entries     int64
	Published   time.Time
	Unpublished time.Time // a checkpoint was signed then, and none was published since
}

// Witness is how one witness of the log answers.
type Witness struct {
	Name     string           // in the configuration
	Requests map[string]int64 // by outcome
	Cosigned time.Time        // when it last did
}

// Decisions are answers to hosts.
type Decisions struct {
	Allowed, Unrecorded uint64
	Denied              map[string]uint64 // by leading reason
}

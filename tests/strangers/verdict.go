package strangers

import (
	"fmt"
	"time"
)

// The limits of a good verdict.
const (
	leastShare = 0.5                    // part of a fair share
	pingSlack  = 100 * time.Millisecond // allowance beyond a round trip: a batch and a socket's buffer in each direction, and a header of 1 MiB
)

// A Verdict is the effect of a deed on the honest users.
type Verdict struct {
	// Deed, Way and Library identify the play.
	Deed, Way, Library string

	// Cut is the number of honest transfers that failed or had a wrong byte or length.
	Cut int

	// Share is the least part of a fair share that an honest transfer got during the deed.
	Share float64

	// Poorest is the name of the transfer with that share.
	Poorest string

	// Ping is the slowest round trip during the deed.
	Ping time.Duration

	// Silent is true if a PING was lost.
	Silent bool

	// Dials is Way.Dials.
	Dials bool

	// Sessions is the number of connections to the origin.
	Sessions int

	// Ended is true if a session ended during the play.
	Ended bool

	// Left is the number of streams at the end.
	Left int

	// Errors are the causes.
	Errors []error
}

// Faults describes the figures that are out of bounds, and returns nil if none is.
func (v Verdict) Faults() (faults []string) {
	fault := func(is bool, format string, args ...any) {
		if is {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	fault(v.Cut > 0, "%d honest transfers were cut", v.Cut)
	fault(v.Share < leastShare, "%s got %.2f of its fair share", v.Poorest, v.Share)
	fault(v.Silent, "a ping was not answered")
	fault(!v.Silent && v.Ping > roundTrip+pingSlack, "a ping took %v", v.Ping)
	fault(v.Sessions == 0 || v.Sessions > 1 && !v.Dials, "%d sessions were used", v.Sessions)
	fault(v.Ended, "a session has ended")
	fault(v.Left != 0, "%d streams were left", v.Left)
	for _, err := range v.Errors {
		fault(true, "%v", err)
	}
	return faults
}

// String returns the figures as in the tables of docs/attacks.md.
func (v Verdict) String() string {
	ping := fmt.Sprintf("%d ms", v.Ping.Round(5*time.Millisecond).Milliseconds())
	if v.Silent {
		ping = "no ping"
	}
	sessions := fmt.Sprint(v.Sessions)
	if v.Ended {
		sessions += " ended"
	}
	return fmt.Sprintf("%d · %.1f · %s · %s", v.Cut, v.Share, ping, sessions)
}

package spdy

import (
	"errors"
	"fmt"
)

// A Budget is one of the limits of a Config on what a peer can make a session do for
// nothing. It never ends a session whose peer uses SPDY, in however odd a way: what is
// of use costs nothing, and what is not comes back with time.
type Budget uint8

// The budgets of a session.
const (
	// BudgetResets is for streams that we reset or refuse because the peer breaks a rule:
	// Config.ResetBurst and ResetRate.
	BudgetResets Budget = iota + 1
	// BudgetIdleFrames is for frames that bring nothing: Config.IdleFrameBurst and
	// IdleFrameRate.
	BudgetIdleFrames
	// BudgetReplies is for replies that the peer does not read: Config.MaxOwedReplies.
	BudgetReplies
)

var budgetNames = [...]string{
	BudgetResets:     "ResetBurst",
	BudgetIdleFrames: "IdleFrameBurst",
	BudgetReplies:    "MaxOwedReplies",
}

// String returns the name of the field of Config that is the limit.
func (b Budget) String() string {
	if int(b) < len(budgetNames) && budgetNames[b] != "" {
		return budgetNames[b]
	}
	return fmt.Sprintf("Budget(%d)", uint8(b))
}

// ErrFlood is what errors of sessions match that ended because the peer used up a
// Budget. Such an error is a *SessionError of this side's, with GoAwayProtocolError,
// which wraps a *FloodError. In SPDY/2, whose GOAWAY has no status, the peer learns only
// that the session has ended.
var ErrFlood = errors.New("spdy: the peer floods the session")

// A FloodError says which Budget a peer has used up. It matches ErrFlood.
type FloodError struct {
	Budget Budget // which one
	Limit  int    // the value of the field of Config that Budget names
}

// Error names the budget.
func (e *FloodError) Error() string {
	return fmt.Sprintf("spdy: %v of %d used up", e.Budget, e.Limit)
}

// Is reports that target is ErrFlood.
func (e *FloodError) Is(target error) bool { return target == ErrFlood }

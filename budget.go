package spdy

import (
	"errors"
	"fmt"
)

// A Budget is a limit in a Config on useless work that a peer can cause in a session. A budget
// never ends a session whose peer uses SPDY, however oddly: useful work costs nothing, and used
// budget recovers with time.
type Budget uint8

// The budgets of a session.
const (
	// BudgetResets counts streams that we reset or refuse because the peer breaks a rule:
	// Config.ResetBurst and ResetRate.
	BudgetResets Budget = iota + 1
	// BudgetIdleFrames counts frames that carry nothing useful: Config.IdleFrameBurst and
	// IdleFrameRate.
	BudgetIdleFrames
	// BudgetReplies counts replies that the peer does not read: Config.MaxOwedReplies.
	BudgetReplies
)

var budgetNames = [...]string{
	BudgetResets:     "ResetBurst",
	BudgetIdleFrames: "IdleFrameBurst",
	BudgetReplies:    "MaxOwedReplies",
}

// String returns the name of the field of Config that holds the limit.
func (b Budget) String() string {
	if int(b) < len(budgetNames) && budgetNames[b] != "" {
		return budgetNames[b]
	}
	return fmt.Sprintf("Budget(%d)", uint8(b))
}

// ErrFlood matches the error of a session that ended because the peer used up a Budget. The error
// is a local *SessionError with GoAwayProtocolError, which wraps a *FloodError. In SPDY/2, whose
// GOAWAY has no status, the peer learns only that the session has ended.
var ErrFlood = errors.New("spdy: the peer floods the session")

// A FloodError names the Budget that a peer has used up. It matches ErrFlood.
type FloodError struct {
	Budget Budget // the budget that is used up
	Limit  int    // the value of the field of Config that Budget names
}

// Error names the budget.
func (e *FloodError) Error() string {
	return fmt.Sprintf("spdy: %v of %d used up", e.Budget, e.Limit)
}

// Is reports whether target is ErrFlood.
func (e *FloodError) Is(target error) bool { return target == ErrFlood }

package spdy

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// mib is a size in MiB with so many digits behind the point, rounded down.
func mib(n int64, digits int) string {
	const unit = 1 << 20
	scale := int64(1)
	for range digits {
		scale *= 10
	}
	return strings.TrimSuffix(fmt.Sprintf("%.*f MiB", digits, float64(n*scale/unit)/float64(scale)), " ")
}

func kib(n int64) string { return fmt.Sprintf("%d KiB", n>>10) }

func seconds(d time.Duration) string { return fmt.Sprintf("%d seconds", d/time.Second) }

// budgetClaims are the numbers of docs/budgets.md that no command writes, as the page has them,
// made of the constants and the defaults that they are about.
func budgetClaims() []string {
	server := (*Config)(nil).withDefaults(false, httpSending)
	client := (*Config)(nil).withDefaults(true, sending{ours: true})
	raw := (*Config)(nil).rawHeaders().withDefaults(false, rawSending)
	own := func(c *Config) int64 { return c.poolsOfSession().of[heldHeaders].limit >> 20 }
	strict := &Config{MaxHeaderBytes: 16 << 10, MaxHeaderFields: 100}
	cautious, _ := sessionBudget(asServer, strict, server.MaxConcurrentStreams)
	unread := int64(server.SessionWindow + server.SessionWindow/4)
	return []string{
		fmt.Sprintf("with `Config.MaxHeaderBytes` of %s and %d names, and computes", kib(256<<10), 500), // as TestSessionBudget does
		fmt.Sprintf("opens, here %d, because", 20),
		fmt.Sprintf("%s: %d times %s, and %d MiB |", mib(int64(server.SessionWindow), 1), server.MaxConcurrentStreams,
			kib(int64(server.StreamWindow)), 2*server.MaxStreamWindow>>20),
		fmt.Sprintf("| the read buffer | %s |", kib(readBufferSize)),
		fmt.Sprintf("| %s each; for a client %s for an answer and %s for its late blocks |", mib(int64(server.MaxHeaderBytes)+5000, 2),
			mib(int64(client.MaxHeaderBytes), 1), mib(defaultMaxHeaderBytes+5000, 2)),
		fmt.Sprintf("| %d bytes for each of `Config.MaxHeaderFields` | %s |", nameCost, mib(int64(nameCost*server.MaxHeaderFields), 1)),
		fmt.Sprintf("| a stream itself, and the stack of its handler | | %s |", kib(streamCost)),
		fmt.Sprintf("| %d MiB while it comes,", (server.MaxControlFrame+1)>>20),
		fmt.Sprintf("| compression contexts | %s of history in, at most %s out with tables; with `CompressFull` %s out | |", kib(32<<10), kib(safeCost), kib(fullCost)),
		fmt.Sprintf("`Config.MaxOwedReplies` and %d bytes for each stream | %s, twice while they grow |", owingReply, kib(int64(server.MaxOwedReplies))),
		fmt.Sprintf("| `batchSize` | %s |", kib(batchSize)),
		fmt.Sprintf("client can send %d requests with two megabytes", server.MaxConcurrentStreams),
		fmt.Sprintf("has %d MiB by default, or %d times `Config.MaxHeaderBytes` if that is more: %d MiB for a client",
			own(server), ownPoolFactor, own(client)),
		fmt.Sprintf("is at most 1/%d larger than the pool", pooledCost),
		fmt.Sprintf("`Config.MaxHeaderBytes` to %s and `Config.MaxHeaderFields` to %d, and takes %d MiB then, %d of them unread bytes",
			kib(int64(strict.MaxHeaderBytes)), strict.MaxHeaderFields, cautious>>20, unread>>20),
		fmt.Sprintf("at most %d times `Config.MaxHeaderBytes` (%d MiB)", rawHeaderFactor, rawHeaderFactor*raw.MaxHeaderBytes>>20),
		fmt.Sprintf("or %s for each stream that may be open", kib(modestHeader)),
		fmt.Sprintf("holds no more than %s never pays", kib(modestHeader)),
		fmt.Sprintf("its bytes, %d for each name with its first value", nameOverhead),
		fmt.Sprintf("and %d for each further value", valueOverhead),
		fmt.Sprintf("| %d, or four times `MaxConcurrentStreams` | |", defaultResetBurst),
		fmt.Sprintf("| %d, or four times `MaxConcurrentStreams` | %d |", defaultResetBurst, defaultResetRate),
		fmt.Sprintf("up to %d for each recent stream", idleByStream),
		fmt.Sprintf("Values below %d count as %d, since an honest peer begins with some useless frames | %d,%03d | %d |", leastIdleBurst, leastIdleBurst,
			defaultIdleFrameBurst/1000, defaultIdleFrameBurst%1000, defaultIdleFrameRate),
		fmt.Sprintf("does not read | %s | |", kib(defaultMaxOwedReplies)),
		fmt.Sprintf("else it is answered with %d", http.StatusRequestHeaderFieldsTooLarge),
		fmt.Sprintf("more than %d percent full", (&pool{limit: 100}).crowdedAt()),
		fmt.Sprintf("as %d sessions have", (&pool{limit: resourceKinds[heldHandlers].standard}).crowdedAt()/int64(server.MaxConcurrentStreams)),
		fmt.Sprintf("up to %d PINGs in one read", pingsAtOnce),
		fmt.Sprintf("beyond %d times its compressed size", idleRatio),
		fmt.Sprintf("may have %d interim answers (1xx) at once", interimBurst),
		fmt.Sprintf("a header block beyond %d MiB or four times", leastHardLimit>>20),
		fmt.Sprintf("is at most %s, and %s by default for requests", mib(largestSentBlock, 1), mib(defaultMaxHeaderBytes+5000, 2)),
		fmt.Sprintf("passes over that session for %s", seconds(refusalRest)),
		fmt.Sprintf("%d bytes for each; the limit is %d replies", owingReply, defaultMaxOwedReplies/owingReply),
		fmt.Sprintf("arrived in the last %d ms are given that time", freshBytes/time.Millisecond),
		fmt.Sprintf("may grow by, %d MiB by default, so that the windows of others stay at %s;", 2*defaultMaxStreamWindow>>20, kib(defaultStreamWindow)),
		fmt.Sprintf("in pieces of %s or more", kib(smallPiece/2)),
		fmt.Sprintf("from the last %s of a frame", kib(frameProgress)),
	}
}

// What a compressor of header blocks takes at most, in bytes.
const (
	safeCost = 12 << 10
	fullCost = 112 << 10
)

// compressionCost is how much memory a compressor of header blocks takes when it has been used, in bytes.
func compressionCost(policy CompressionPolicy) int64 {
	const copies = 20
	var all [copies]*Framer
	before := heapInUse()
	for i := range all {
		f := NewFramer(nil, nil, SPDY31)
		f.Compression = policy
		for range 20 {
			f.CompressBlock([]byte(strings.Repeat(fmt.Sprint("a text to be compressed ", i), 200)))
		}
		all[i] = f
	}
	cost := (heapInUse() - before) / copies
	runtime.KeepAlive(&all)
	return cost
}

// numbersElsewhere are numbers that are names, parts of the protocol, or held where they are said.
var numbersElsewhere = regexp.MustCompile("`[^`]*`|[A-Z]+/[0-9.]+|spdy/[0-9.]+|1xx|2\\^30|on stream 0|answers 431|becomes 500|" +
	"refills it by 2 frames, each DATA frame sent by 2 and each one received by 1;|" +
	"(?m:^\\| (server|client) .*$)") // TestSessionBudget

// Every number of docs/budgets.md is written by a command, or is what the library has it be.
func TestBudgetsPageHasNoOtherNumbers(t *testing.T) {
	require.LessOrEqual(t, compressionCost(CompressSafe), int64(safeCost))
	require.LessOrEqual(t, compressionCost(CompressFull), int64(fullCost))
	text, err := os.ReadFile("docs/budgets.md")
	require.NoError(t, err)
	page := regexp.MustCompile(`(?s)<!-- budgets:\w+ -->.*?<!-- /budgets:\w+ -->`).ReplaceAllString(string(text), "")
	flat := regexp.MustCompile(`([^|])\n([^|\n#<])`).ReplaceAllString(page, "$1 $2") // lines of a paragraph
	for _, claim := range budgetClaims() {
		require.True(t, strings.Contains(flat, claim), "docs/budgets.md has: %s", claim)
		flat = strings.ReplaceAll(flat, claim, "")
	}
	for _, line := range strings.Split(numbersElsewhere.ReplaceAllString(flat, ""), "\n") {
		require.NotRegexp(t, `[0-9]`, line, "a number that no command writes and no test reads")
	}
}

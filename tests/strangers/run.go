package strangers

import (
	"flag"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
)

var write = flag.Bool("write", false, "write the figures into docs/attacks.md")

// Run plays every deed on every way, each as a subtest. With -write it writes the tables into the
// page, the path of docs/attacks.md. Faults of deeds listed in known are only logged.
func Run(t *testing.T, page string, ways []Way, known Known) {
	brief = testing.Short()
	if brief {
		t.Log("with -short strangers hang up 1,000 times instead of 10,000")
	}
	var mu sync.Mutex
	var verdicts []Verdict
	t.Cleanup(func() {
		if !*write {
			return
		}
		if err := WritePage(page, Table(ways, verdicts)); err != nil {
			t.Error(err)
		}
	})
	for _, way := range ways {
		for _, deed := range Deeds() {
			t.Run(fmt.Sprintf("%s/%s/%s", way.Name, way.Library, deed.Name), func(t *testing.T) {
				t.Parallel()
				v := playInBubble(t, way, deed)
				t.Log(v)
				mu.Lock()
				verdicts = append(verdicts, v)
				mu.Unlock()
				known.judge(t, v)
			})
		}
	}
}

// Known has, by library and deed, the reasons why faults are expected.
type Known map[string]map[string]string

func (k Known) judge(t *testing.T, v Verdict) {
	why := k[v.Library][v.Deed]
	for _, fault := range v.Faults() {
		if why == "" {
			t.Error(fault)
		} else {
			t.Logf("%s (%s)", fault, why)
		}
	}
}

// playInBubble is Play. A bubble panics if a goroutine is left or all goroutines block. The panic
// is recorded as a fault of the deed, so the remaining deeds still run.
func playInBubble(t *testing.T, way Way, deed Deed) (v Verdict) {
	v = Verdict{Deed: deed.Name, Way: way.Name, Library: way.Library, Silent: true}
	defer func() {
		if p := recover(); p != nil {
			v.Errors = append(v.Errors, fmt.Errorf("%v", p))
		}
	}()
	synctest.Test(t, func(*testing.T) { v = Play(way, deed) })
	return v
}

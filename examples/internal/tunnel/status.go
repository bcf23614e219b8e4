package tunnel

import (
	"fmt"
	"net/http"
	"slices"
	"text/tabwriter"
	"time"
)

// Status returns the handler of the page that lists the connected origins. The page is for the
// operator, not for the public.
func (p *Proxy) Status() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		p.writeStatus(w)
	})
	return mux
}

func (p *Proxy) writeStatus(w http.ResponseWriter) {
	names := make([]string, 0, len(p.Tokens))
	for name := range p.Tokens {
		names = append(names, name)
	}
	slices.Sort(names)
	rows := p.registry.rows()
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ORIGIN\tTUNNEL\tSTATE\tFROM\tUP FOR\tRUNNING\tSERVED\tBYTES")
	for _, name := range names {
		if len(rows[name]) == 0 {
			fmt.Fprintf(t, "%s\t-\tnot connected\n", name)
		}
		for _, row := range rows[name] {
			fmt.Fprintf(t, "%s\t%d\t%s\t%s\t%v\t%d\t%d\t%d\n", name, row.number, row.state, row.remote,
				time.Since(row.since).Round(time.Second), row.running.Load(), row.served.Load(), row.bytes.Load())
		}
	}
	_ = t.Flush() // fails only if the client has failed
}

// A row is a tunnel with the tunnel's state at one moment.
type row struct {
	*tunnel
	state string
}

func (r *registry) rows() map[string][]row {
	r.mu.Lock()
	defer r.mu.Unlock()
	rows := make(map[string][]row)
	for name, tunnels := range r.tunnels {
		inUse := false
		for _, t := range slices.Backward(tunnels) {
			state := "in use"
			switch {
			case t.ended():
				state = "ended"
			case t.draining:
				state = "draining"
			case inUse:
				state = "spare"
			default:
				inUse = true
			}
			rows[name] = append(rows[name], row{t, state})
		}
	}
	return rows
}

package raw

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
)

// upgradeTest runs f in fake time beside an http.Server whose handler is h. dial is a dialer for it.
func upgradeTest(t *testing.T, h http.HandlerFunc, f func(t *testing.T, dial *spdy.UpgradeDialer)) {
	synctest.Test(t, func(t *testing.T) {
		ln := spdytest.Listen()
		server := &http.Server{Handler: h}
		go server.Serve(ln)
		defer server.Close()
		f(t, &spdy.UpgradeDialer{DialContext: ln.DialContext, Protocols: []string{"v2", "v1"}})
	})
}

// TestUpgradeHeaders shows that the client gets the header fields that the server's handler has
// set for its 101, as a client of net/http gets them.
func TestUpgradeHeaders(t *testing.T) {
	upgrader := &spdy.Upgrader{Protocols: []string{"v1"}}
	handler := func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Audit-Id"] = []string{"7", "8"}
		w.Header().Set("Set-Cookie", "session=1")
		if s, _, err := upgrader.Upgrade(w, r); err == nil {
			_ = s.Serve()
		}
	}
	upgradeTest(t, handler, func(t *testing.T, d *spdy.UpgradeDialer) {
		oracle := &http.Transport{DialContext: d.DialContext}
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://home.example/exec", nil)
		require.NoError(t, err)
		req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"SPDY/3.1"}, "X-Stream-Protocol-Version": {"v1"}}
		want, err := oracle.RoundTrip(req)
		require.NoError(t, err)
		defer want.Body.Close()

		s, res, err := d.DialResponse(t.Context(), "POST", "http://home.example/exec")
		require.NoError(t, err)
		require.Equal(t, want.Header, res.Header)
		require.Equal(t, want.Status, res.Status)
		require.Equal(t, []string{"v1"}, res.Header["X-Stream-Protocol-Version"])
		require.Equal(t, []string{"7", "8"}, res.Header["Audit-Id"])
		require.Len(t, res.Cookies(), 1)
		require.Equal(t, "/exec", res.Request.URL.Path)
		require.Nil(t, res.TLS)
		rest, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Empty(t, rest)
		go s.Serve()
		defer s.Close()
		_, err = s.PingContext(t.Context())
		require.NoError(t, err, "the session has the connection")
	})
}

// TestUpgradeRefuse shows that a program can answer refusals in its own form, and that the
// client's error has that answer.
func TestUpgradeRefuse(t *testing.T) {
	var told *spdy.UpgradeError
	upgrader := &spdy.Upgrader{
		Protocols: []string{"v4", "v3"},
		Refuse: func(w http.ResponseWriter, r *http.Request, refusal *spdy.UpgradeError) {
			told = refusal
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(refusal.StatusCode)
			_ = json.NewEncoder(w).Encode(map[string]any{"path": r.URL.Path, "message": refusal.Reason})
		},
	}
	var err error
	handler := func(w http.ResponseWriter, r *http.Request) { _, _, err = upgrader.Upgrade(w, r) }
	upgradeTest(t, handler, func(t *testing.T, d *spdy.UpgradeDialer) {
		s, _, dialErr := d.Dial(t.Context(), "POST", "http://home.example/exec")
		require.Nil(t, s)
		var refused *spdy.UpgradeError
		require.ErrorAs(t, dialErr, &refused)
		require.Equal(t, 403, refused.StatusCode)
		require.Equal(t, "application/json", refused.Header.Get("Content-Type"))
		require.Equal(t, []string{"v4", "v3"}, refused.Header["X-Accepted-Stream-Protocol-Versions"])
		require.JSONEq(t, `{"path":"/exec","message":"the client speaks [\"v2\" \"v1\"], the server [\"v4\" \"v3\"]"}`, string(refused.Body))
		require.Same(t, told, err, "Upgrade returns what the hook got")

		d.Protocols = []string{"v4"}
		upgrader.Config = &spdy.Config{StreamWindow: 1 << 20, SessionWindow: 1 << 18}
		_, _, dialErr = d.Dial(context.Background(), "POST", "http://home.example/exec")
		require.ErrorAs(t, dialErr, &refused)
		require.Equal(t, 500, refused.StatusCode)
		require.Error(t, told.Err, "the cause, too")
	})
}

package spdy

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// An attackSecret is what somebody finds out by the length of what is sent, or reads
// where it does not belong.
const attackSecret = "sid=" + testSecret

// A crimeAttack is a page that makes its victim's browser, or a server, send a guess
// next to a secret.
type crimeAttack struct {
	name string
	ask  func(req *http.Request, guess string) // puts a guess of the attacker's into a request
	echo func(h http.Header, guess string)     // or has the server put it into an answer
}

var crimeAttacks = []crimeAttack{
	{name: "path", ask: func(req *http.Request, guess string) { req.URL.Path = "/" + guess }},
	{name: "query", ask: func(req *http.Request, guess string) { req.URL.RawQuery = guess }},
	{name: "query, in pieces", ask: func(req *http.Request, guess string) { req.URL.RawQuery = guess + "&" + guess + "&" + guess }},
	{name: "header that nobody knows", ask: func(req *http.Request, guess string) { req.Header.Set("X-Anything", guess) }},
	{name: "header that has a meaning", ask: func(req *http.Request, guess string) { req.Header.Set("Accept-Language", guess) }},
	{name: "cookie of his own before", ask: func(req *http.Request, guess string) { req.Header.Set("Cookie", "x"+guess+"; "+attackSecret) }},
	{name: "cookie of his own behind", ask: func(req *http.Request, guess string) { req.Header.Set("Cookie", attackSecret+"; x"+guess) }},
	{name: "referer", ask: func(req *http.Request, guess string) { req.Header.Set("Referer", "https://evil.example/?"+guess) }},
	{name: "answer, Location", echo: func(h http.Header, guess string) { h.Set("Location", "/?"+guess) }},
	{name: "answer, header that nobody knows", echo: func(h http.Header, guess string) { h.Set("X-Echo", guess) }},
	{name: "answer, Content-Disposition", echo: func(h http.Header, guess string) { h.Set("Content-Disposition", "attachment; filename="+guess) }},
	{name: "answer, Set-Cookie of his own", echo: func(h http.Header, guess string) { h.Add("Set-Cookie", "x"+guess) }},
}

// sentWith is how many bytes a victim sends in a session in which an attacker has tried
// a guess three times.
func (a crimeAttack) sentWith(t *testing.T, v Version, policy CompressionPolicy, guess string) (n int) {
	synctest.Test(t, func(t *testing.T) {
		conf := &Config{Version: v, Compression: policy}
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if a.echo != nil {
				w.Header().Set("Set-Cookie", attackSecret)
				a.echo(w.Header(), guess)
			}
		}), rigSetup{client: conf, server: conf, conn: []testconn.Option{testconn.Record()}})
		defer r.close()
		for range 3 {
			req := r.request("GET", "/", nil, "Cookie", attackSecret)
			if a.ask != nil {
				a.ask(req, guess)
			}
			_, _, err := r.fetch(req)
			require.NoError(t, err)
		}
		synctest.Wait()
		if n = len(r.cc.Sent()); a.echo != nil {
			n = len(r.sc.Sent())
		}
	})
	return n
}

// A11, CRIME (CVE-2012-4929): the length of what a session sends tells an attacker who
// chooses a path, a header, or part of a cookie nothing about how much of his guess is
// right.
func TestAttackA11Crime(t *testing.T) {
	var tries []string
	for i, guess := range guesses() {
		if i%4 == 0 || i == len(testSecret)-1 {
			tries = append(tries, "sid="+guess)
		}
	}
	for _, a := range crimeAttacks {
		who := asClient
		if a.echo != nil {
			who = asServer
		}
		for _, v := range everyVersion {
			t.Run(who.String()+"/"+versionElement(v)+"/"+a.name, func(t *testing.T) {
				lengths := func(policy CompressionPolicy) map[int]bool {
					all := make(map[int]bool)
					for _, guess := range tries {
						all[a.sentWith(t, v, policy, guess)] = true
					}
					return all
				}
				require.Len(t, lengths(CompressSafe), 1, "the default")
				require.Len(t, lengths(CompressNone), 1)
				require.Greater(t, len(lengths(CompressFull)), 3, "this test could not tell")
			})
		}
	}
	for _, v := range everyVersion { // the one thing that can be told: that a whole cookie is right
		t.Run("client/"+versionElement(v)+"/all of a cookie", func(t *testing.T) {
			asked := 0
			a := crimeAttack{ask: func(req *http.Request, guess string) {
				if asked++; asked%3 != 1 { // the first request of a session is the victim's own
					req.Header.Set("Cookie", guess)
				}
			}}
			partly := make(map[int]bool)
			for _, guess := range tries[:len(tries)-1] {
				partly[a.sentWith(t, v, CompressSafe, guess)] = true
			}
			require.Len(t, partly, 1, "a guess that is right but for a letter is like any other")
			require.False(t, partly[a.sentWith(t, v, CompressSafe, tries[len(tries)-1])], "this test could not tell")
		})
	}
	attackStory(t, "bodies are not compressed", bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
		p := newPeer(t, r, peerOpts{version: v, conf: Config{Compression: CompressFull}, conn: recordOurs()})
		st := p.ours1("a stream", 0)
		p.sendSynReply(st.id, 0)
		text := bytes.Repeat([]byte(attackSecret), 100)
		p.startWrite(st, text, FlagFin).wrote("all of it", len(text))
		p.wantData("as it is", st.id, len(text), FlagFin)
		require.Contains(t, string(p.ours.Sent()), string(text[:len(text)-1]))
	})
}

// A24, secrets in logs: nothing that is printed by default, or for debugging, has in it
// what lets its reader act for somebody, and what peers write cannot forge a line.
func TestAttackA24Logs(t *testing.T) {
	for name, log := range map[string]*FrameLog{"frames": {}, "headers": {Headers: true}} {
		attackStory(t, name, bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
			var out, said lockedBuffer
			log := *log
			log.Out = &out
			noisy := &Config{Version: v, FrameLog: &log, Logger: slog.New(slog.NewTextHandler(&said, nil))}
			setup := rigSetup{client: &Config{Version: v}, server: noisy}
			if r == asClient {
				setup = rigSetup{client: noisy, server: &Config{Version: v}}
			}
			rig := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				secretAnswer(w, req)
				if req.URL.Path == "/panic" {
					panic(http.ErrAbortHandler)
				}
			}), setup)
			defer rig.close()
			req := secretRequest(rig)
			req.Header.Set("X-Forged", "a\tspdy: 192.0.2.1:1 -> GOAWAY\u2028\x7f")
			if _, _, err := rig.fetch(req); err != nil { // the 7f may not be sent
				req.Header.Set("X-Forged", "a\tspdy: 192.0.2.1:1 -> GOAWAY\u2028")
				_, _, err = rig.fetch(secretRequest(rig))
				require.NoError(t, err)
			}
			req = secretRequest(rig)
			req.URL.Path = "/panic"
			_, _, err := rig.fetch(req)
			require.Error(t, err)
			require.NotContains(t, err.Error(), "sesame")
			require.NotEmpty(t, out.String())
			for _, text := range []string{out.String(), said.String()} {
				require.NotContains(t, text, "sesame")
				for line := range strings.Lines(text) {
					require.Equal(t, 1, strings.Count(line, "spdy: ")+strings.Count(line, "time="), "%q", line)
					require.Empty(t, strings.Trim(strings.TrimSuffix(line, "\n"), printable), "%q", line)
				}
			}
		})
	}
	attackStory(t, "nothing asked for", bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
		p := newPeer(t, r, peerOpts{version: v})
		require.Nil(t, p.s.frameLog.Load())
	})
	t.Run("both/environment", func(t *testing.T) { // only GODEBUG makes the library talk, as documented
		files, err := filepath.Glob("*.go")
		require.NoError(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			if !strings.HasSuffix(file, "_test.go") {
				require.Equal(t, strings.Count(string(text), `os.Getenv("GODEBUG")`), strings.Count(string(text), "os.Getenv("), file)
				require.NotRegexp(t, `os\.(LookupEnv|Environ|ExpandEnv)\(`, string(text), file)
			}
		}
	})
}

var printable = func() string {
	var b strings.Builder
	for c := ' '; c <= '~'; c++ {
		b.WriteRune(c)
	}
	return b.String()
}()

// A25, settings that follow a client: what a server asks it to keep is bounded, kept for
// that server alone, only if it says so, and nobody else is told.
func TestAttackA25Settings(t *testing.T) {
	keep := func(id SettingID, value uint32) Setting {
		return Setting{ID: id, Flags: FlagPersistValue, Value: value}
	}
	// told is what the next session with a server is told of what was kept.
	told := func(t *testing.T, v Version, store SettingsStore) (entries []Setting) {
		p := newPeer(t, asClient, peerOpts{version: v, announce: true, conf: Config{Settings: store, SettingsKey: "http://a.example:80"}})
		for _, f := range p.drain() {
			if f, ok := f.(*SettingsFrame); ok {
				for _, e := range f.Entries {
					if e.Flags != 0 {
						entries = append(entries, e)
					}
				}
			}
		}
		return entries
	}
	attackStory(t, "ids without a meaning", victimClient, everyVersion, func(t *testing.T, _ role, v Version) {
		store := new(MemorySettings)
		p := newPeer(t, asClient, peerOpts{version: v, conf: Config{Settings: store, SettingsKey: "http://a.example:80"}})
		for id := SettingID(1); id < 2000; id++ {
			p.sendSettings(keep(id<<8|200, uint32(id)))
			p.drain()
			if p.s.ended() {
				break
			}
		}
		p.sendSettings(keep(SettingRoundTripTime, 1), keep(SettingRoundTripTime, 2))
		synctest.Wait()
		kept := told(t, v, store)
		require.LessOrEqual(t, len(kept), int(SettingClientCertificateVectorSize), "what the store keeps is bounded")
		for _, e := range kept {
			require.LessOrEqual(t, e.ID, SettingClientCertificateVectorSize)
		}
	})
	attackStory(t, "nothing asked to be kept", victimClient, everyVersion, func(t *testing.T, _ role, v Version) {
		store := new(MemorySettings)
		p := newPeer(t, asClient, peerOpts{version: v, conf: Config{Settings: store, SettingsKey: "http://a.example:80"}})
		p.sendSettings(Setting{ID: SettingRoundTripTime, Value: 7}, Setting{ID: SettingMaxConcurrentStreams, Value: 9, Flags: FlagPersisted})
		p.wantAlive("they are read")
		require.Empty(t, told(t, v, store))
	})
	attackStory(t, "forget it all", victimClient, everyVersion, func(t *testing.T, _ role, v Version) {
		store := new(MemorySettings)
		p := newPeer(t, asClient, peerOpts{version: v, conf: Config{Settings: store, SettingsKey: "http://a.example:80"}})
		p.sendSettings(keep(SettingRoundTripTime, 7))
		p.wantAlive("they are kept")
		require.Len(t, told(t, v, store), 1)
		p.send(&SettingsFrame{Flags: FlagClearSettings})
		p.wantAlive("and cleared")
		require.Empty(t, told(t, v, store))
	})
	attackStory(t, "the last value counts", victimClient, everyVersion, func(t *testing.T, _ role, v Version) {
		store := new(MemorySettings)
		p := newPeer(t, asClient, peerOpts{version: v, conf: Config{Settings: store, SettingsKey: "http://a.example:80"}})
		p.sendSettings(keep(SettingRoundTripTime, 7))
		p.sendSettings(keep(SettingRoundTripTime, 8))
		p.wantAlive("they are kept")
		kept := told(t, v, store)
		require.Len(t, kept, 1)
		require.EqualValues(t, 8, kept[0].Value)
	})
	t.Run("client/many servers", func(t *testing.T) {
		store := new(MemorySettings)
		for i := range 100_000 {
			store.Update(fmt.Sprintf("host-%d.example:443", i), false, []Setting{keep(SettingRoundTripTime, uint32(i))})
		}
		require.Len(t, store.servers, maxSettingsServers)
		require.Len(t, store.order, maxSettingsServers)
		require.Empty(t, store.Load("other.example:443"), "another server")
	})
	attackStory(t, "servers keep nothing", victimServer, everyVersion, func(t *testing.T, r role, v Version) {
		store := new(MemorySettings)
		p := newPeer(t, r, peerOpts{version: v, conf: Config{Settings: store, SettingsKey: "http://a.example:80"}})
		p.sendSettings(keep(SettingRoundTripTime, 7), keep(SettingMaxConcurrentStreams, 7))
		p.wantAlive("they are read")
		require.Empty(t, store.servers)
	})
}

package strangers

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"
)

// The times of a play.
const (
	settling = 3 * time.Second        // time for holders to fill windows and buffers
	warmUp   = 300 * time.Millisecond // honest transfers before the measurement
	grace    = 2 * time.Second        // time for the last frames, after all users have left
)

// streamLimit is the default limit of concurrent streams of both libraries.
const streamLimit = 250

// A play is a run of a deed on a way.
type play struct {
	deed   Deed
	way    Way
	stage  *Stage
	origin *origin
	road   *Road
	crowd  *crowd
	leave  context.CancelFunc // ends crowd.ctx

	transfers []*transfer // downloads first
	honest    sync.WaitGroup
	pings     pinger
}

// Play runs a deed on a way and returns the effect on the honest users. Call it in a bubble.
func Play(way Way, deed Deed) Verdict {
	p := &play{deed: deed, way: way, origin: newOrigin()}
	p.stage = &Stage{Link: newLink(), Handler: p.origin}
	v := Verdict{Deed: deed.Name, Way: way.Name, Library: way.Library, Dials: way.Dials}
	var err error
	if p.road, err = way.Open(p.stage); err != nil {
		v.Errors = append(v.Errors, err)
		return v
	}
	p.gather()
	p.settle()
	p.begin()
	p.act(&v)
	p.end(&v)
	p.road.Close()
	return v
}

// gather creates the users. A first request ensures that the session exists and both ends have
// exchanged SETTINGS.
func (p *play) gather() {
	down := &meter{rate: Down, honest: downloads}
	up := &meter{rate: Up, honest: uploads, pace: uploadPace}
	p.origin.up = up
	lasts := (warmUp + p.deed.Lasts).Seconds()
	for i := range downloads {
		p.transfers = append(p.transfers, &transfer{
			name: fmt.Sprintf("download %d", i), number: i, length: int(lasts * Down / downloads), meter: down,
		})
	}
	for i := range uploads {
		t := &transfer{name: fmt.Sprintf("upload %d", i), number: i, length: int(lasts * uploadPace), meter: up}
		p.transfers = append(p.transfers, t)
		p.origin.uploads = append(p.origin.uploads, t)
	}
	p.crowd = &crowd{user: p.road.User(), base: p.road.Base, down: down, up: up, size: streamLimit - downloads - uploads - 1}
	p.crowd.ctx, p.leave = context.WithCancel(context.Background())
	p.crowd.get(p.crowd.ctx, "/ok", nil)
	_ = pass(p.crowd.ctx, 2*roundTrip)
}

// settle starts the holders and lets them fill windows and buffers on a wide link.
func (p *play) settle() {
	if p.deed.hold == nil {
		return
	}
	p.stage.Link.widen(true)
	p.deed.hold(p.crowd, p.crowd.size)
	_ = pass(p.crowd.ctx, settling)
	p.stage.Link.widen(false)
}

// begin starts the honest transfers.
func (p *play) begin() {
	for i, t := range p.transfers {
		user, move := p.road.User(), t.download
		if i >= downloads {
			move = t.upload
		}
		p.honest.Go(func() { t.end(move(context.Background(), user, p.road.Base)) })
	}
	_ = pass(p.crowd.ctx, warmUp)
}

// act runs the deed and measures.
func (p *play) act(v *Verdict) {
	marks := make([]mark, len(p.transfers))
	for i, t := range p.transfers {
		marks[i] = t.mark()
	}
	p.pings.start(p.road.Ping)
	if p.deed.act != nil {
		p.deed.act(p.crowd)
	} else {
		_ = pass(p.crowd.ctx, p.deed.Lasts)
	}
	v.Share = math.Inf(1)
	for i, t := range p.transfers {
		if share := t.share(marks[i]); share < v.Share {
			v.Share, v.Poorest = share, t.name
		}
	}
	v.Ping, v.Silent = p.pings.stop()
}

// end dismisses the strangers, waits for the honest transfers, and checks for leaks.
func (p *play) end(v *Verdict) {
	p.leave()
	close(p.origin.over)
	if !ends(&p.crowd.holding) {
		v.Errors = append(v.Errors, errStuck)
	}
	if !ends(&p.honest) {
		v.Errors = append(v.Errors, errStuck)
	}
	for _, t := range p.transfers {
		if err := t.failure(); err != nil {
			v.Cut++
			v.Errors = append(v.Errors, err)
		}
	}
	_ = pass(context.Background(), grace)
	v.Sessions, v.Left = p.stage.Link.Connections(), p.road.Streams()
	if err := p.road.Ended(); err != nil {
		v.Ended = true
		v.Errors = append(v.Errors, fmt.Errorf("a session has ended: %w", err))
	}
}

var errStuck = errors.New("a request neither is answered nor fails")

// ends waits for goroutines for a limited time and reports whether they have ended.
func ends(all *sync.WaitGroup) bool {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		all.Wait()
	}()
	return pass(ctx, 2*patience) != nil
}

// A pinger sends PINGs until it is stopped.
type pinger struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	worst  time.Duration
	silent bool
}

func (p *pinger) start(ping func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.done.Go(func() {
		for pass(ctx, 20*time.Millisecond) == nil {
			began := time.Now()
			last, giveUp := context.WithTimeout(context.Background(), 10*time.Second)
			err := ping(last)
			giveUp()
			p.worst = max(p.worst, time.Since(began))
			if err != nil {
				p.silent = true
				return
			}
		}
	})
}

// stop waits for the last PING. It returns the slowest round trip, and whether a PING was lost.
func (p *pinger) stop() (worst time.Duration, silent bool) {
	p.cancel()
	p.done.Wait()
	return p.worst, p.silent
}

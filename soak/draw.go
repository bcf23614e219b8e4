package main

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"os"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The colours of the processes are distinct for readers who are colour-blind, and on the white
// background of the chart, which also serves pages with a dark background.
var (
	relayColor  = color.RGBA{R: 0x09, G: 0x69, B: 0xda, A: 0xff}
	originColor = color.RGBA{R: 0xd1, G: 0x6a, B: 0x00, A: 0xff}
	clientColor = color.RGBA{R: 0x9a, G: 0xa4, B: 0xae, A: 0xff}
	textColor   = color.RGBA{R: 0x1f, G: 0x23, B: 0x28, A: 0xff}
	gridColor   = color.RGBA{R: 0xd8, G: 0xde, B: 0xe4, A: 0xff}
)

// A panel plots a measure over time.
type panel struct {
	title   string
	clients bool // clients are drawn too
	value   func(s *sample) (v float64, ok bool)
}

// heard returns v, and whether the process has answered: for a stopped process only the operating
// system's measures are known.
func heard(s *sample, v float64) (float64, bool) { return v, s.Gauges != nil }

var panels = []panel{
	{"heap in use, MiB", true, func(s *sample) (float64, bool) { return heard(s, mib(s.Heap)) }},
	{"resident memory, MiB", true, func(s *sample) (float64, bool) { return mib(s.RSS), s.RSS > 0 }},
	{"goroutines", true, func(s *sample) (float64, bool) { return heard(s, float64(s.Goroutines)) }},
	{"file descriptors", true, func(s *sample) (float64, bool) { return float64(s.Files), s.Files > 0 }},
	{"streams", false, func(s *sample) (float64, bool) {
		return heard(s, float64(s.Gauges["client streams"]+s.Gauges["tunnel streams"]))
	}},
}

// drawTo writes the chart of a soak as an SVG.
func drawTo(file string, r *result) error {
	var b bytes.Buffer
	if err := drawSVG(&b, r); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

const (
	drawWidth   = 9.6 * vg.Inch
	panelHeight = 1.7 * vg.Inch
)

func drawSVG(w *bytes.Buffer, r *result) error {
	rows := make([][]*plot.Plot, 0, len(panels)+1)
	var end float64
	for _, p := range r.Points {
		end = max(end, p.At.Minutes())
	}
	for i, p := range panels {
		one, err := drawPanel(p, r, i == 0)
		if err != nil {
			return err
		}
		rows = append(rows, []*plot.Plot{one})
	}
	strip, err := drawEvents(r)
	if err != nil {
		return err
	}
	rows = append(rows, []*plot.Plot{strip})
	for _, row := range rows {
		row[0].X.Min, row[0].X.Max = 0, end
	}
	height := panelHeight * vg.Length(len(rows))
	canvas := vgsvg.New(drawWidth, height)
	dc := draw.New(canvas)
	dc.SetColor(color.White)
	dc.Fill(dc.Rectangle.Path())
	tiles := draw.Tiles{
		Rows: len(rows), Cols: 1, PadY: vg.Points(7),
		PadLeft: vg.Points(8), PadRight: vg.Points(14), PadTop: vg.Points(8), PadBottom: vg.Points(6),
	}
	for i, c := range plot.Align(rows, tiles, dc) {
		rows[i][0].Draw(c[0])
	}
	if _, err := canvas.WriteTo(w); err != nil {
		return err
	}
	return finishSVG(w)
}

// finishSVG adds a title for readers who cannot see the chart, and similar fallback fonts for the
// drawing library's font.
func finishSVG(w *bytes.Buffer) error {
	text := w.String()
	text = strings.ReplaceAll(text, "font-family:Liberation Sans", "font-family:Liberation Sans,Arial,Helvetica,sans-serif")
	at := strings.Index(text, "<svg")
	if at >= 0 {
		at += strings.Index(text[at:], ">") + 1
	}
	if at <= 0 {
		return fmt.Errorf("the drawing library wrote no SVG")
	}
	w.Reset()
	w.WriteString(text[:at] + "\n<title>Memory, goroutines, descriptors and streams of relay, origin and clients during the soak</title>" + text[at:])
	return nil
}

// newPlot returns a plot with the common style.
func newPlot(title string) *plot.Plot {
	plot.DefaultFont.Variant = "Sans"
	p := plot.New()
	p.Title.Text = title
	p.Title.TextStyle.Font.Size = vg.Points(11)
	p.Title.TextStyle.Color = textColor
	p.Title.Padding = vg.Points(3)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Color, axis.Tick.Color, axis.Tick.Label.Color = textColor, textColor, textColor
		axis.Tick.Label.Font.Size = vg.Points(10)
		axis.Label.TextStyle.Font.Size = vg.Points(10)
		axis.Padding = 0
	}
	p.Y.Min = 0
	p.X.Tick.Marker = plot.TickerFunc(minutes)
	p.Legend.Top = true
	p.Legend.YOffs = vg.Points(20)
	p.Legend.Padding = vg.Points(2)
	p.Legend.TextStyle.Font.Size = vg.Points(10)
	p.Legend.TextStyle.Color = textColor
	return p
}

// minutes marks minutes, or tens of seconds of a short soak.
func minutes(low, high float64) (ticks []plot.Tick) {
	step := 2.0
	switch {
	case high-low < 2:
		step = 1.0 / 6
	case high-low < 8:
		step = 0.5
	}
	for i := math.Ceil(low / step); i*step <= high; i++ {
		label := fmt.Sprintf("%g min", i*step)
		if step < 0.5 {
			label = fmt.Sprintf("%.0f s", i*step*60)
		}
		ticks = append(ticks, plot.Tick{Value: i * step, Label: label})
	}
	return ticks
}

func drawPanel(what panel, r *result, legend bool) (*plot.Plot, error) {
	p := newPlot(what.title)
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = gridColor, gridColor
	p.Add(grid)
	p.Y.Tick.Marker = plot.TickerFunc(fewTicks)
	var names []string
	for _, point := range r.Points {
		if !slices.Contains(names, point.Who) {
			names = append(names, point.Who)
		}
	}
	slices.Sort(names) // clients first, so that the others are drawn on top
	shown := make(map[string]bool)
	for _, name := range names {
		kind, c, width := name, relayColor, 1.3
		switch {
		case name == "origin":
			c = originColor
		case name != "relay":
			kind, c, width = "clients", clientColor, 0.7
		}
		if kind == "clients" && !what.clients {
			continue
		}
		lines, err := linesOf(what, r, name, c, width)
		if err != nil {
			return nil, err
		}
		for _, line := range lines {
			p.Add(line)
			if legend && !shown[kind] {
				p.Legend.Add(kind, line)
				shown[kind] = true
			}
		}
	}
	if legend {
		p.Y.Max *= 1.3 // room for the legend
	}
	return p, nil
}

// linesOf draws one process, with gaps where the process did not answer.
func linesOf(what panel, r *result, name string, c color.Color, width float64) (lines []*plotter.Line, err error) {
	var part plotter.XYs
	flush := func() {
		if len(part) > 1 && err == nil {
			var line *plotter.Line
			if line, err = plotter.NewLine(part); err == nil {
				line.Color, line.Width = c, vg.Points(width)
				lines = append(lines, line)
			}
		}
		part = nil
	}
	for _, point := range r.Points {
		if point.Who != name {
			continue
		}
		if v, ok := what.value(point.Sample); ok {
			part = append(part, plotter.XY{X: point.At.Minutes(), Y: v})
		} else {
			flush()
		}
	}
	flush()
	return lines, err
}

// fewTicks marks about three values.
func fewTicks(_, high float64) (ticks []plot.Tick) {
	high = max(high, 1)
	step := math.Pow(10, math.Floor(math.Log10(high)))
	for high/step < 2 {
		step /= 2
	}
	for high/step > 5 {
		step *= 2
	}
	for v := 0.0; v <= high; v += step {
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%g", v)})
	}
	return ticks
}

// drawEvents plots the times of the faults.
func drawEvents(r *result) (*plot.Plot, error) {
	p := newPlot("what was done to them")
	kinds := []string{cutTunnel, replaceTunnel, cutClient, stopOrigin, stopRelay, stopClient, killClient}
	slices.Reverse(kinds)
	for i, kind := range kinds {
		var at plotter.XYs
		for _, e := range r.Events {
			if e.What == kind || kind == stopClient && e.What == stopLong {
				at = append(at, plotter.XY{X: e.At.Minutes(), Y: float64(i)})
			}
		}
		if len(at) == 0 {
			continue
		}
		marks, err := plotter.NewScatter(at)
		if err != nil {
			return nil, err
		}
		marks.GlyphStyle = draw.GlyphStyle{Color: textColor, Radius: vg.Points(3), Shape: barGlyph{}}
		p.Add(marks)
	}
	p.NominalY(kinds...)
	p.Y.Min, p.Y.Max = -0.6, float64(len(kinds))-0.4
	p.Y.Tick.Label.Font.Size = vg.Points(8)
	return p, nil
}

// barGlyph is a short upright line.
type barGlyph struct{}

// DrawGlyph implements draw.GlyphDrawer.
func (barGlyph) DrawGlyph(c *draw.Canvas, style draw.GlyphStyle, at vg.Point) {
	c.SetLineStyle(draw.LineStyle{Color: style.Color, Width: vg.Points(0.8)})
	var path vg.Path
	path.Move(vg.Point{X: at.X, Y: at.Y - style.Radius})
	path.Line(vg.Point{X: at.X, Y: at.Y + style.Radius})
	c.Stroke(path)
}

package main

import (
	"bytes"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A chart has groups of bars; each group has a bar for each target.
type chart struct {
	file, title, unit string
	targets           []string
	groups            []group
}

// A group is a workload and a metric; the variant is added to the targets' names.
type group struct{ label, workload, metric, variant string }

var charts = []chart{
	{"bench-requests.svg", "Small GETs: more is better", "requests a second", plain, []group{
		{"one at a time", "get-1", "/s", ""}, {"64 at once", "get-64", "/s", ""}}},
	{"bench-cpu.svg", "Small GETs: less is better", "µs of processor time, both ends", plain, []group{
		{"one at a time", "get-1", "CPU µs", ""}, {"64 at once", "get-64", "CPU µs", ""}}},
	{"bench-bytes.svg", "Bulk: more is better", "MB a second", bulk, []group{
		{"download", "down-1", "MB/s", ""}, {"100 downloads", "down-100", "MB/s", ""}, {"upload", "up-1", "MB/s", ""}}},
	{"bench-raw.svg", "Raw streams: more is better", "MB a second", []string{"spdy", "moby", "yamux", "smux", "tcp"}, []group{
		{"1 stream", "raw-1", "MB/s", ""}, {"32 streams", "raw-32", "MB/s", ""}}},
	{"bench-latency.svg", "Small GET beside 20 downloads: less is better", "ms, 99th percentile", muxed, []group{
		{"urgent GET", "beside-bulk", "p99 ms", ""}, {"equal priorities", "beside-bulk", "p99 ms", "equal"}}},
	{"bench-path.svg", "One download over 100 ms, 1 Gbit/s: more is better", "fraction of the path", plain, []group{
		{"all of the time", "long-path", "of the path, overall", ""}, {"second half", "long-path", "of the path, grown", ""}}},
	{"bench-memory.svg", "Memory, both ends: less is better", "KiB", muxed, []group{
		{"session", "session", "KiB", ""}, {"idle answer", "stream", "KiB", ""}}},
	{"bench-headers.svg", "Headers of 500 requests on the wire: less is better", "KB", []string{"safe", "full", "zlib", "hpack"}, []group{
		{"requests", "header-bytes", "requests B", ""}, {"answers", "header-bytes", "answers B", ""}}},
}

// colours suit all kinds of colour vision, and light and dark surroundings: the charts include a
// background.
var (
	colours = map[string]color.Color{
		"spdy": rgb(0x0b5394), "h2": rgb(0xe69138), "http1": rgb(0x999999), "tcp": rgb(0xcccccc),
		"moby": rgb(0xe69138), "yamux": rgb(0x6aa84f), "smux": rgb(0x8e7cc3),
		"safe": rgb(0x0b5394), "full": rgb(0x6fa8dc), "zlib": rgb(0x999999), "hpack": rgb(0xe69138),
	}
	paper = rgb(0xffffff)
	ink   = rgb(0x222222)
	faint = rgb(0xdddddd)
)

func rgb(v uint32) color.Color {
	return color.RGBA{R: uint8(v >> 16), G: uint8(v >> 8), B: uint8(v), A: 0xff}
}

const (
	chartWidth  = 15 * vg.Centimeter
	chartHeight = 8 * vg.Centimeter
	chartMargin = 0.3 * vg.Centimeter

	// widestBar leaves room for the figure above the bar.
	widestBar = 0.95 * vg.Centimeter
)

// barWidth returns the largest width that fits.
func (c chart) barWidth() vg.Length {
	bars := float64(len(c.groups)) * (float64(len(c.targets)) + 0.7)
	return min(widestBar, 12*vg.Centimeter/vg.Length(1.3*bars))
}

// drawAll writes the charts that have figures.
func drawAll(r *report, dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, c := range charts {
		svg, err := c.svg(r)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, c.file), svg, 0o666); err != nil {
			return err
		}
	}
	return nil
}

func (c chart) svg(r *report) ([]byte, error) {
	p := plot.New()
	p.BackgroundColor = paper
	p.Title.Text, p.Y.Label.Text = c.title, c.unit
	p.Title.Padding, p.Y.Min = 3*vg.Millimeter, 0
	for _, s := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Y.Label.TextStyle, &p.Legend.TextStyle} {
		s.Font.Variant, s.Color = "Sans", ink
	}
	p.Title.TextStyle.Font.Size, p.X.Tick.Label.Font.Size = 13, 11
	p.Title.TextStyle.Font.Weight = 2 // bold
	p.Y.Tick.Label.Font.Size, p.Y.Label.TextStyle.Font.Size, p.Legend.TextStyle.Font.Size = 10, 10, 10
	p.X.LineStyle.Color, p.Y.LineStyle.Width, p.Y.Tick.LineStyle.Width = ink, 0, 0
	p.Legend.Top, p.Legend.Padding = true, 1*vg.Millimeter
	grid := plotter.NewGrid()
	grid.Vertical.Width, grid.Horizontal.Color = 0, faint
	p.Add(grid)
	names := make([]string, len(c.groups))
	for i, g := range c.groups {
		names[i] = g.label
	}
	highest, width := 0.0, c.barWidth()
	for i, target := range c.targets {
		values, top := c.values(r, target)
		highest = max(highest, top)
		bars, err := plotter.NewBarChart(values, width)
		if err != nil {
			return nil, err
		}
		bars.LineStyle.Width, bars.Color = 0, colours[target]
		bars.Offset = (vg.Length(i) - vg.Length(len(c.targets)-1)/2) * (width + 3)
		p.Add(bars, c.figures(values, bars.Offset))
		p.Legend.Add(label(target), bars)
	}
	p.Y.Max = highest * 1.1 // with room for the figures
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.5, float64(len(names))*1.3-0.5 // the legend is at the right
	canvas := vgsvg.New(chartWidth, chartHeight)
	all := draw.New(canvas)
	all.FillPolygon(paper, []vg.Point{all.Min, {X: all.Max.X, Y: all.Min.Y}, all.Max, {X: all.Min.X, Y: all.Max.Y}})
	p.Draw(draw.Crop(all, chartMargin, -chartMargin, chartMargin, -chartMargin))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, err
	}
	// Without the font another sans-serif font is used.
	return []byte(strings.ReplaceAll(out.String(), "font-family:Liberation Sans", "font-family:Liberation Sans,Arial,Helvetica,sans-serif")), nil
}

// values returns the bars of a target, and the highest bar. A missing measurement is 0.
func (c chart) values(r *report, target string) (plotter.Values, float64) {
	values, highest := make(plotter.Values, len(c.groups)), 0.0
	for i, g := range c.groups {
		name := target
		if g.variant != "" {
			name += "+" + g.variant
		}
		v := r.median(g.workload, name, g.metric)
		if math.IsNaN(v) {
			v = 0
		}
		if c.unit == "KB" {
			v /= 1000
		}
		values[i] = v
		highest = max(highest, v)
	}
	return values, highest
}

// figures returns the numbers above the bars.
func (c chart) figures(values plotter.Values, offset vg.Length) plot.Plotter {
	xys := plotter.XYLabels{XYs: make(plotter.XYs, len(values)), Labels: make([]string, len(values))}
	for i, v := range values {
		xys.XYs[i] = plotter.XY{X: float64(i), Y: v}
		if v > 0 {
			xys.Labels[i] = figure(v)
		}
	}
	labels, err := plotter.NewLabels(xys)
	if err != nil {
		panic(err) // only for coordinates that are NaN or infinite
	}
	labels.Offset = vg.Point{X: offset, Y: 2}
	for i := range labels.TextStyle {
		labels.TextStyle[i].Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: 8}
		labels.TextStyle[i].XAlign = draw.XCenter
		labels.TextStyle[i].Color = ink
	}
	return labels
}

package main

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Colors that can be read on a light and on a dark background.
const (
	blue   = "#3b82f6"
	orange = "#f59e0b"
	green  = "#10b981"
	red    = "#ef4444"
	violet = "#a855f7"
	gray   = "#94a3b8"
	pale   = "#cbd5e1"
)

// A drawing is an SVG image under construction. Coordinates are in pixels from the upper
// left corner. Texts are dark on a light page, and light on a dark one.
type drawing struct{ b bytes.Buffer }

func newDrawing(width, height int) *drawing {
	d := &drawing{}
	fmt.Fprintf(&d.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="11">`+"\n", width, height)
	d.b.WriteString("<style>text{fill:#334155}.note{fill:#64748b;font-size:9px}.grid{stroke:#94a3b8;stroke-opacity:.35}" +
		".curve{fill:none;stroke-width:1.2;stroke-linejoin:round}" +
		"@media (prefers-color-scheme:dark){text{fill:#e2e8f0}.note{fill:#94a3b8}}</style>\n")
	return d
}

// An anchor is the point of a text that is drawn at given coordinates: the start, middle
// or end of the text.
type anchor string

const (
	atStart  anchor = ""
	atMiddle anchor = ` text-anchor="middle"`
	atEnd    anchor = ` text-anchor="end"`
)

// text writes a text on a baseline.
func (d *drawing) text(x, y float64, a anchor, s string) {
	fmt.Fprintf(&d.b, `<text x="%s" y="%s"%s>%s</text>`+"\n", pixels(x), pixels(y), a, escapeXML(s))
}

// note writes a small text.
func (d *drawing) note(x, y float64, a anchor, s string) {
	fmt.Fprintf(&d.b, `<text class="note" x="%s" y="%s"%s>%s</text>`+"\n", pixels(x), pixels(y), a, escapeXML(s))
}

// rect fills a rectangle.
func (d *drawing) rect(x, y, width, height float64, color string) {
	fmt.Fprintf(&d.b, `<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>`+"\n", pixels(x), pixels(y), pixels(width), pixels(height), color)
}

// gridLine draws a thin line of a grid.
func (d *drawing) gridLine(x1, y1, x2, y2 float64) {
	fmt.Fprintf(&d.b, `<path class="grid" d="M%s %sL%s %s"/>`+"\n", pixels(x1), pixels(y1), pixels(x2), pixels(y2))
}

// mark draws a dashed vertical line from y1 to y2.
func (d *drawing) mark(x, y1, y2 float64, color string) {
	fmt.Fprintf(&d.b, `<path d="M%s %sV%s" stroke="%s" stroke-dasharray="3 3"/>`+"\n", pixels(x), pixels(y1), pixels(y2), color)
}

// A point has pixel coordinates, or a time in seconds and a value.
type point struct{ x, y float64 }

// curve connects points by lines.
func (d *drawing) curve(points []point, color string) {
	if len(points) == 0 {
		return
	}
	fmt.Fprintf(&d.b, `<path class="curve" stroke="%s" d="M%s %s`, color, pixels(points[0].x), pixels(points[0].y))
	d.b.WriteByte('L')
	for _, p := range points[1:] {
		d.b.WriteString(pixels(p.x) + " " + pixels(p.y) + " ")
	}
	d.b.WriteString("\"/>\n")
}

// ticks draws a short vertical line from each point, upwards or, if length is negative,
// downwards.
func (d *drawing) ticks(points []point, length float64, color string) {
	if len(points) == 0 {
		return
	}
	fmt.Fprintf(&d.b, `<path stroke="%s" d="`, color)
	for _, p := range points {
		d.b.WriteString("M" + pixels(p.x) + " " + pixels(p.y) + "v" + pixels(-length))
	}
	d.b.WriteString("\"/>\n")
}

// end returns the image.
func (d *drawing) end() []byte {
	d.b.WriteString("</svg>\n")
	return d.b.Bytes()
}

// pixels formats a coordinate with at most one decimal.
func pixels(v float64) string {
	return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64)
}

func escapeXML(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// A panel is a diagram over time. Its area is in pixels, its range in seconds and in the
// unit of its values.
type panel struct {
	left, top, width, height float64
	from, to                 float64 // seconds
	most                     float64 // highest value; the lowest is 0
}

// at returns the pixel of a time and a value. A value beyond the range is on its edge.
func (p *panel) at(q point) point {
	share := min(max(q.y/p.most, 0), 1)
	return point{p.left + (q.x-p.from)/(p.to-p.from)*p.width, p.top + p.height*(1-share)}
}

// frame draws the grid and the labels of the values.
func (p *panel) frame(d *drawing) {
	step := niceStep(p.most, 4)
	for v := 0.0; v <= p.most*1.001; v += step {
		y := p.at(point{p.from, v}).y
		d.gridLine(p.left, y, p.left+p.width, y)
		d.note(p.left-5, y+3, atEnd, strconv.FormatFloat(v, 'g', 4, 64))
	}
}

// times draws the labels of the time below the panel.
func (p *panel) times(d *drawing) {
	step := niceStep(p.to-p.from, 10)
	for i := math.Ceil(p.from / step); i*step <= p.to+step/1000; i++ {
		x := p.at(point{x: i * step}).x
		d.gridLine(x, p.top+p.height, x, p.top+p.height+4)
		d.note(x, p.top+p.height+14, atMiddle, strconv.FormatFloat(i*step, 'g', 4, 64)+" s")
	}
}

// niceStep returns 1, 2 or 5 times a power of ten, so that a range has at most n steps.
func niceStep(size float64, n int) float64 {
	if size <= 0 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(size/float64(n))))
	for _, f := range []float64{1, 2, 5} {
		if f*power*float64(n) >= size*0.999 {
			return f * power
		}
	}
	return 10 * power
}

// steps draws a value that stays until the next point, as a curve of at most two points
// for every three pixels: the least and the highest value there.
func (p *panel) steps(d *drawing, points []point, color string) {
	const column = 3
	var out []point
	add := func(q point) {
		if n := len(out); n > 1 && out[n-1].y == q.y && out[n-2].y == q.y {
			out[n-1] = q
			return
		}
		out = append(out, q)
	}
	for i := 0; i < len(points); {
		x := p.at(points[i]).x
		end := x + column
		least, most := p.at(points[i]), p.at(points[i])
		last := least
		for ; i < len(points); i++ {
			q := p.at(points[i])
			if q.x >= end {
				break
			}
			if q.y > least.y { // pixels grow downwards
				least = q
			}
			if q.y < most.y {
				most = q
			}
			last = q
		}
		first, second := least, most
		if second.x < first.x {
			first, second = second, first
		}
		add(first)
		if second.y != first.y {
			add(second)
		}
		if last.y != second.y {
			add(last)
		}
		if i < len(points) && len(out) > 0 {
			// The value stays until shortly before the next point.
			if next := p.at(points[i]).x; next-last.x > column {
				add(point{next, last.y})
			}
		}
	}
	d.curve(out, color)
}

// thin returns the pixels of points without those that are within a pixel of the one
// before.
func (p *panel) thin(points []point) (out []point) {
	for _, q := range points {
		r := p.at(q)
		if n := len(out); n > 0 && math.Abs(out[n-1].x-r.x) < 1 && math.Abs(out[n-1].y-r.y) < 3 {
			continue
		}
		out = append(out, r)
	}
	return out
}

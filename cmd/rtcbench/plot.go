package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"
)

// plot draws an event log. args are its flags and the name of the file.
func plot(args []string) error {
	f := flag.NewFlagSet("rtcbench plot", flag.ExitOnError)
	out := f.String("o", "", "file for the SVG image; empty: standard output")
	title := f.String("title", "", "title; empty: that of the log")
	from := f.Duration("from", 0, "first moment that is drawn, since the first event")
	to := f.Duration("to", 0, "last moment that is drawn; 0: the last event")
	group := f.String("group", "", "group id of the connection; empty: the one that has sent most")
	f.Parse(args)
	if f.NArg() != 1 {
		return errors.New("usage: rtcbench plot [-o FILE.svg] [-title TEXT] [-from 1s] [-to 2s] [-group ID] LOG")
	}
	file, err := os.Open(f.Arg(0))
	if err != nil {
		return err
	}
	defer file.Close()
	h, err := readHistory(file, *group)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Arg(0), err)
	}
	if *title != "" {
		h.title = *title
	}
	end := h.end
	if *to > 0 {
		end = to.Seconds()
	}
	if from.Seconds() >= end {
		return fmt.Errorf("nothing is to be drawn: -from %v is not before the end, %v", *from, time.Duration(end*float64(time.Second)))
	}
	image := h.draw(from.Seconds(), end)
	if *out == "" {
		_, err = os.Stdout.Write(image)
		return err
	}
	return os.WriteFile(*out, image, 0o644)
}

// Sizes of a plot in pixels.
const (
	plotWidth  = 860
	plotLeft   = 60
	plotRight  = 12
	panelTop   = 30 // room for a panel's title
	panelLeast = 110
	panelFirst = 190 // of the sequence

	rateIntervals = 100 // in how many intervals rates are averaged
)

// A curve is a line of a panel.
type curve struct {
	name, color string
	points      []point
}

// A sheet is a plot under construction: panels below each other, with one axis of time.
type sheet struct {
	*drawing
	from, to float64 // seconds
	bottom   float64 // of the last panel, in pixels
	panels   []*panel
}

// add adds a panel with its title, its curves and their names. The values are multiplied
// by scale.
func (s *sheet) add(title string, height, scale float64, curves ...curve) *panel {
	p := &panel{
		left: plotLeft, top: s.bottom + panelTop, width: plotWidth - plotLeft - plotRight, height: height, from: s.from, to: s.to,
	}
	s.panels, s.bottom = append(s.panels, p), p.top+height
	for i := range curves {
		curves[i].points = between(scaled(curves[i].points, scale), s.from, s.to)
		p.most = max(p.most, 1.05*highest(curves[i].points))
	}
	if p.most == 0 {
		p.most = 1
	}
	p.frame(s.drawing)
	s.text(p.left, p.top-8, atStart, title)
	x := p.left + 7*float64(len(title)) + 10
	for _, c := range curves {
		x = s.legend(p, x, c.name, c.color)
		p.steps(s.drawing, c.points, c.color)
	}
	return p
}

// legend writes a name with its color above a panel. It returns where the next name may
// begin.
func (s *sheet) legend(p *panel, x float64, name, color string) float64 {
	s.rect(x, p.top-15, 8, 8, color)
	s.note(x+12, p.top-8, atStart, name)
	return x + 22 + 5.5*float64(len(name))
}

// draw returns the plot of a history between two times, in seconds.
func (h *history) draw(from, to float64) []byte {
	const panels, titleHeight, axisHeight = 4, 28, 24
	height := titleHeight + panelFirst + (panels-1)*panelLeast + panels*panelTop + axisHeight
	s := &sheet{drawing: newDrawing(plotWidth, height), from: from, to: to, bottom: titleHeight}
	s.text(plotLeft, 18, atStart, h.title)
	data := []curve{{"sent", blue, h.sent}, {"acknowledged", green, h.acked}}
	rates := []curve{{"delivered", green, rate(h.delivered, from, to, rateIntervals)}}
	if lastValue(h.received) > lastValue(h.sent)/100 {
		data = append(data, curve{"received", violet, h.received})
		rates = append(rates, curve{"received", violet, rate(h.received, from, to, rateIntervals)})
	}
	p := s.add("data, MB", panelFirst, 1e-6, data...)
	resent, lost := within(h.resent, from, to), within(h.lost, from, to)
	s.ticks(p.thin(scaled(resent, 1e-6)), -5, orange)
	s.ticks(p.thin(scaled(lost, 1e-6)), 5, red)
	x := s.legend(p, plotWidth-240, fmt.Sprintf("lost (%d)", len(lost)), red)
	s.legend(p, x, fmt.Sprintf("sent again (%d)", len(resent)), orange)
	s.add("window, KB", panelLeast, 1e-3, curve{"congestion window", orange, h.window}, curve{"in flight", blue, h.inFlight})
	s.add("round trip, ms", panelLeast, 1, curve{"smoothed", blue, h.smoothedRTT}, curve{"shortest", green, h.minRTT})
	p = s.add("rate, Mbit/s", panelLeast, 8e-6, append(rates, curve{"pacing", orange, scaled(h.pacing, 1.0/8)})...)
	p.times(s.drawing)
	s.marks(h.moments())
	return s.end()
}

// A moment is a vertical line with a text.
type moment struct {
	labelled
	color string
}

// moments returns path changes, timeouts and states in the order of time.
func (h *history) moments() (list []moment) {
	for _, kind := range []struct {
		color string
		list  []labelled
	}{{violet, h.paths}, {red, h.timeouts}, {gray, h.state}} {
		for _, m := range kind.list {
			list = append(list, moment{m, kind.color})
		}
	}
	slices.SortStableFunc(list, func(a, b moment) int { return cmp.Compare(a.at, b.at) })
	return list
}

// marks draws moments as vertical lines through all panels, with their texts in the first
// one. Texts that would cover the one before are a line lower.
func (s *sheet) marks(list []moment) {
	const lines = 4
	var free [lines]float64 // where the next text may begin
	first := s.panels[0]
	for _, m := range list {
		if m.at < first.from || m.at > first.to {
			continue
		}
		x := first.at(point{x: m.at}).x
		for _, p := range s.panels {
			s.mark(x, p.top, p.top+p.height, m.color)
		}
		width := 5 * float64(len(m.text))
		start, a := x+3, atStart
		if x+width > first.left+first.width {
			start, a = x-3, atEnd
		}
		for i := range free {
			if start >= free[i] {
				s.note(start, first.top+9+10*float64(i), a, m.text)
				free[i] = x + 10 + width
				break
			}
		}
	}
}

// within returns the points from one time to another.
func within(points []point, from, to float64) (out []point) {
	for _, p := range points {
		if p.x >= from && p.x <= to {
			out = append(out, p)
		}
	}
	return out
}

// between is within, for a value that stays until the next point: it also returns the
// value at the beginning.
func between(points []point, from, to float64) []point {
	out := within(points, from, to)
	if len(points) > 0 && points[0].x < from {
		return append([]point{{from, valueAt(points, from)}}, out...)
	}
	return out
}

// scaled returns points with their values multiplied.
func scaled(points []point, factor float64) []point {
	out := make([]point, len(points))
	for i, p := range points {
		out[i] = point{p.x, p.y * factor}
	}
	return out
}

package growth

import (
	"fmt"
	"os"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// curve is a time by the number of items.
type curve struct {
	y                   string // label
	sizes, milliseconds []float64
}

// plotCurves draws the curves side by side, with a logarithmic axis of items.
func plotCurves(curves []curve, file string) error {
	panels := make([]*plot.Plot, len(curves))
	for i, c := range curves {
		p := plot.New()
		p.X.Label.Text, p.Y.Label.Text, p.Y.Min = "items", c.y, 0
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, ticks(c.sizes)
		points := make(plotter.XYs, len(c.sizes))
		for j, size := range c.sizes {
			points[j] = plotter.XY{X: size, Y: c.milliseconds[j]}
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return fmt.Errorf("draw %s: %w", c.y, err)
		}
		p.Add(plotter.NewGrid(), line, dots)
		p.Y.Min = 0
		panels[i] = p
	}
	const side = 6 * vg.Centimeter
	canvas := vgsvg.New(side*vg.Length(len(panels)), side)
	cells := plot.Align([][]*plot.Plot{panels}, draw.Tiles{Rows: 1, Cols: len(panels), PadX: vg.Centimeter / 2, PadRight: vg.Centimeter / 2, PadTop: vg.Centimeter / 5}, draw.New(canvas))
	for i, p := range panels {
		p.Draw(cells[0][i])
	}
	f, err := os.Create(file)
	if err != nil {
		return fmt.Errorf("draw the curves: %w", err)
	}
	if _, err := canvas.WriteTo(f); err != nil {
		f.Close()
		return fmt.Errorf("draw the curves to %s: %w", file, err)
	}
	return f.Close()
}

func ticks(sizes []float64) plot.ConstantTicks {
	var all plot.ConstantTicks
	for _, size := range sizes {
		label := strconv.FormatFloat(size, 'f', -1, 64)
		if size >= 1e6 {
			label = strconv.FormatFloat(size/1e6, 'f', -1, 64) + "M"
		} else if size >= 1e4 {
			label = strconv.FormatFloat(size/1e3, 'f', -1, 64) + "k"
		}
		all = append(all, plot.Tick{Value: size, Label: label})
	}
	return all
}

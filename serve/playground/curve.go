package playground

// point of a curve.
type point struct {
	X int     `json:"x"` // how many values until then
	Y float64 `json:"y"` // their mean since the point before
}

const maxPoints = 120

// curve has ever fewer points a value, so that it stays small.
type curve struct {
	points []point
	stride int // values a point
	values int
	sum    float64
	summed int
}

func (c *curve) add(y float64) {
	c.stride = max(c.stride, 1)
	c.values++
	c.sum += y
	if c.summed++; c.summed < c.stride {
		return
	}
	c.points = append(c.points, point{c.values, c.sum / float64(c.summed)})
	c.sum, c.summed = 0, 0
	if len(c.points) == maxPoints {
		for i := range maxPoints / 2 {
			a, b := c.points[2*i], c.points[2*i+1]
			c.points[i] = point{b.X, (a.Y + b.Y) / 2}
		}
		c.points = c.points[:maxPoints/2]
		c.stride *= 2
	}
}

func (c *curve) copy() []point { return append([]point{}, c.points...) }

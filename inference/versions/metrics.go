package versions

import (
	"github.com/prometheus/client_golang/prometheus"

	"genrec/model"
)

// Metrics returns what Prometheus may collect of the device, and of the searches.
func (v *Versions) Metrics() []prometheus.Collector {
	return []prometheus.Collector{
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "genrec_inference_beams_total",
			Help: "Beams that have searched: of each user as many as the search is wide, of models that leave nothing to it none.",
		}, func() float64 { return float64(v.beams.Load()) }),
		memory{v.Device, prometheus.NewDesc("genrec_gpu_memory_bytes",
			"Memory of the GPU that tensors of this process take (allocated), and that is kept for them (reserved).", []string{"state"}, nil)},
	}
}

// memory collects what the models take on a GPU; on a CPU there is nothing to collect.
type memory struct {
	device model.Device
	bytes  *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (m memory) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- m.bytes }

// Collect implements prometheus.Collector.
func (m memory) Collect(values chan<- prometheus.Metric) {
	if m.device == model.CPU {
		return
	}
	allocated, reserved, err := m.device.Memory()
	if err != nil {
		values <- prometheus.NewInvalidMetric(m.bytes, err)
		return
	}
	values <- prometheus.MustNewConstMetric(m.bytes, prometheus.GaugeValue, float64(allocated), "allocated")
	values <- prometheus.MustNewConstMetric(m.bytes, prometheus.GaugeValue, float64(reserved), "reserved")
}

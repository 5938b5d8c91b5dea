package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chancery-dev/chancery/proof"
)

// Results of asking a witness.
const (
	cosignedSigned = "signed"
	cosignedFailed = "failed"
)

// auditMetrics counts what the recorder and the signer do.
type auditMetrics struct {
	records, failures, summarised prometheus.Counter
	appends                       prometheus.Histogram
	packed                        prometheus.Histogram
	size, signed                  *prometheus.GaugeVec
	cosigned                      *prometheus.CounterVec
}

func newAuditMetrics(r prometheus.Registerer) *auditMetrics {
	m := &auditMetrics{
		records:    prometheus.NewCounter(prometheus.CounterOpts{Name: "chancery_access_records_total", Help: "Access records made durable."}),
		failures:   prometheus.NewCounter(prometheus.CounterOpts{Name: "chancery_access_append_failures_total", Help: "Access records that could not be stored together: what waited for them was answered 503."}),
		summarised: prometheus.NewCounter(prometheus.CounterOpts{Name: "chancery_access_summarised_total", Help: "Refusals that a summary stands for, in place of a record each."}),
		appends:    newHistogram(r, "chancery_access_append_duration_seconds", "Access records that were stored together, until they were durable."),
		packed: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "chancery_access_message_records", Help: "Access records that were stored together.", Buckets: prometheus.ExponentialBuckets(1, 2, 9),
		}),
		size:     prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "chancery_checkpoint_size", Help: "Leaves that the newest checkpoint of this node covers."}, []string{"log"}),
		signed:   prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "chancery_checkpoint_timestamp_seconds", Help: "When it was signed."}, []string{"log"}),
		cosigned: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "chancery_witness_requests_total", Help: "Cosignatures asked of witnesses."}, []string{"log", "result"}),
	}
	r.MustRegister(m.records, m.failures, m.summarised, m.packed, m.size, m.signed, m.cosigned)
	for _, log := range []string{proof.LogEvents, proof.LogAccess} {
		m.size.WithLabelValues(log)
		m.signed.WithLabelValues(log)
		m.cosigned.WithLabelValues(log, cosignedSigned)
		m.cosigned.WithLabelValues(log, cosignedFailed)
	}
	return m
}

// AccessAppended implements [eventstore.AccessObserver].
func (m *auditMetrics) AccessAppended(records, _ int, took time.Duration, err error) {
	m.appends.Observe(took.Seconds())
	if err != nil {
		m.failures.Inc()
		return
	}
	m.records.Add(float64(records))
	m.packed.Observe(float64(records))
}

// AccessSummarised implements [eventstore.AccessObserver].
func (m *auditMetrics) AccessSummarised() { m.summarised.Inc() }

// Signed implements [proof.Observer].
func (m *auditMetrics) Signed(log string, size uint64, at time.Time) {
	m.size.WithLabelValues(log).Set(float64(size))
	m.signed.WithLabelValues(log).Set(float64(at.Unix()))
}

// Cosigned implements [proof.Observer].
func (m *auditMetrics) Cosigned(log, _ string, err error) {
	result := cosignedSigned
	if err != nil {
		result = cosignedFailed
	}
	m.cosigned.WithLabelValues(log, result).Inc()
}

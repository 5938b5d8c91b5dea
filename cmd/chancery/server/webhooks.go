package server

import (
	"context"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chancery-dev/chancery/domain"
	"github.com/chancery-dev/chancery/webhooks"
)

// webhooksDir holds the cursors of the endpoints.
const webhooksDir = "webhooks"

// startWebhooks sends events to the configured endpoints until b.stop. What
// changed in the configuration is recorded before anything is sent.
func (b *background) startWebhooks(ctx context.Context) error {
	var endpoints []webhooks.Endpoint
	if b.cfg.Webhooks != "" {
		var err error
		if endpoints, err = webhooks.ReadFile(b.cfg.Webhooks); err != nil {
			return fmt.Errorf("webhooks: %w", err)
		}
	}
	sender, err := webhooks.Open(ctx, webhooks.Config{
		Endpoints: endpoints, Dir: b.cfg.path(webhooksDir), Source: b.log,
		Record: func(ctx context.Context, detail string) error {
			return b.record(ctx, domain.AccessConfigure, detail)
		},
		Observer: newWebhookMetrics(b.registry, b.state.Position), Logger: b.cfg.Logger, Now: b.now, Rand: b.rand,
	})
	if err != nil {
		return err
	}
	var running context.Context
	b.hooks, running = newGroup(ctx)
	b.hooks.running.Go(func() { b.logFailure(ctx, "webhooks", sender.Run(running)) })
	return nil
}

// How an attempt ended, as the metric's label says it.
const (
	attemptTaken  = "taken"
	attemptFailed = "failed"
)

// webhookMetrics shows how the endpoints fare.
type webhookMetrics struct {
	registry prometheus.Registerer
	head     func() uint64
	position *prometheus.GaugeVec
	attempts *prometheus.CounterVec
	disabled *prometheus.GaugeVec

	mu        sync.Mutex
	positions map[string]uint64
}

func newWebhookMetrics(r prometheus.Registerer, head func() uint64) *webhookMetrics {
	m := &webhookMetrics{
		registry: r, head: head, positions: map[string]uint64{},
		position: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "chancery_webhook_position", Help: "The last position that an endpoint is done with."}, []string{"endpoint"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "chancery_webhook_attempts_total", Help: "Deliveries tried."}, []string{"endpoint", "result"}),
		disabled: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "chancery_webhook_disabled", Help: "1 when an endpoint answered 410 Gone and nothing is sent to it."}, []string{"endpoint"}),
	}
	r.MustRegister(m.position, m.attempts, m.disabled)
	return m
}

// Moved implements [webhooks.Observer].
func (m *webhookMetrics) Moved(name string, position uint64) {
	m.position.WithLabelValues(name).Set(float64(position))
	m.mu.Lock()
	_, known := m.positions[name]
	m.positions[name] = position
	m.mu.Unlock()
	if !known {
		m.registerLag(name)
		for _, result := range []string{attemptTaken, attemptFailed} {
			m.attempts.WithLabelValues(name, result) // from 0 on, not from the first attempt
		}
	}
}

// registerLag shows a lag that grows while the endpoint does not move.
func (m *webhookMetrics) registerLag(name string) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "chancery_webhook_lag_events", Help: "Events of the log behind the endpoint's position.",
		ConstLabels: prometheus.Labels{"endpoint": name},
	}, func() float64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		at, head := m.positions[name], m.head()
		return float64(max(head, at) - at)
	}))
}

// Attempted implements [webhooks.Observer].
func (m *webhookMetrics) Attempted(name string, ok bool) {
	result := attemptFailed
	if ok {
		result = attemptTaken
	}
	m.attempts.WithLabelValues(name, result).Inc()
}

// Disabled implements [webhooks.Observer].
func (m *webhookMetrics) Disabled(name string, disabled bool) {
	value := 0.0
	if disabled {
		value = 1
	}
	m.disabled.WithLabelValues(name).Set(value)
}

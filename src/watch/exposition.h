// watch/exposition.h - metric families as text: Prometheus 0.0.4 and OpenMetrics 1.0.
//
// Prometheus exposition formats, "Text-based format"; OpenMetrics 1.0 section 5. They differ in the counters'
// family name, in the type of an info and in the end mark.
//
// Threads  pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "watch/metric.h"

namespace qh::watch {

enum class Exposition : std::uint8_t { kPrometheus, kOpenMetrics };

/// What an Accept header field asks for, by its q values; without one, or for anything, Prometheus.
Exposition negotiate(std::string_view accept);
std::string_view content_type(Exposition format);
/// Families without a sample are left out.
std::string expose(std::span<const MetricFamily> families, Exposition format);

}  // namespace qh::watch

# SPDX-License-Identifier: BSD-3-Clause
#
# Unit tests are described beside what they test; here is what belongs to no single folder.

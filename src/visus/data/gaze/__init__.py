"""Where readers looked: fixation tables, exact density maps, and images that carry both."""
